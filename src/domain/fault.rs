//! What can go wrong between us and Salesforce: every error row of Salesforce OAuth facts
//! section 5 with its outcome, cause, message and remedy, in one table.
