//! The fault catalogue: every row of what can go wrong on the network, in Salesforce's answers and
//! on the disk, as a test by its ID, through the built program and the simulated Salesforce.
