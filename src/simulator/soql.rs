//! As much of Salesforce's query language as the Organization row needs:
//! `SELECT field, field FROM object`, with anything behind it left out of account.

/// A query that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Select {
    /// The fields, as written.
    pub(crate) fields: Vec<String>,
    /// The object, as written.
    pub(crate) object: String,
}

/// Reads a query; `None` when it is malformed.
pub(crate) fn parse(query: &str) -> Option<Select> {
    let mut words = query.split_whitespace();
    if !words.next()?.eq_ignore_ascii_case("SELECT") {
        return None;
    }
    let list: Vec<&str> =
        words.by_ref().take_while(|word| !word.eq_ignore_ascii_case("FROM")).collect();
    let object = words.next()?.to_owned();
    let fields: Vec<String> =
        list.join(" ").split(',').map(|field| field.trim().to_owned()).collect();
    let is_name = |field: &String| {
        !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    fields.iter().all(is_name).then_some(Select { fields, object })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_object_are_read_and_nonsense_is_not() {
        let select = parse("select Id,Name , IsSandbox\nfrom Organization LIMIT 1").unwrap();
        assert_eq!(select.fields, ["Id", "Name", "IsSandbox"]);
        assert_eq!(select.object, "Organization");
        for query in ["", "SELECT", "SELECT Id", "SELECT FROM Organization", "DELETE Id FROM X"] {
            assert_eq!(parse(query), None, "{query}");
        }
    }
}
