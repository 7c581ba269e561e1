//! New servers for a config, written as the rest of it is. Pure.

use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde_json::Value;

use super::{Bad, MARK, Shape, bad, options};

/// What an entry says, in its order.
pub type Members = Vec<(&'static str, Value)>;

/// A server that is to be in a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// Its key.
    pub name: String,
    /// What its entry says.
    pub members: Members,
    /// It goes over the entry that is there: what that says besides stays.
    pub over: bool,
}

/// A config with servers added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The new text.
    pub text: String,
    /// Those that were there already, and are something else: they are left as they are.
    pub left: Vec<String>,
}

/// The text with these servers. Whatever else is in it stays as it is.
///
/// # Errors
/// If the text is not what hosts read, or has something else where servers are.
pub fn with_servers(text: &str, shape: Shape, servers: &[New]) -> Result<Added, Bad> {
    let (mark, root, known) = read(text, shape)?;
    let mut left = Vec::new();
    for New { name, members, over } in servers {
        match known.get(name) {
            None => {
                let members = members.iter().map(|(key, value)| ((*key).to_owned(), input(value)));
                known.append(name, CstInputValue::Object(members.collect()));
                known.ensure_multiline();
            }
            Some(there) if *over => {
                let there = there.object_value_or_set();
                for (key, value) in members {
                    put(&there, key, value);
                }
            }
            Some(there) => {
                let found = there.value().and_then(|found| found.to_serde_value());
                let meant: Value = members.iter().map(|(key, value)| (*key, value.clone())).collect();
                if found != Some(meant) {
                    left.push(name.clone());
                }
            }
        }
    }
    Ok(Added { text: format!("{mark}{root}"), left })
}

/// The entries of the servers that are there, by name.
///
/// # Errors
/// As for [`with_servers`].
pub fn entries(text: &str, shape: Shape) -> Result<Vec<(String, Value)>, Bad> {
    let (_, _, known) = read(text, shape)?;
    let entry = |property: &CstObjectProp| {
        Some((property.decoded_name()?, property.value().and_then(|value| value.to_serde_value())?))
    };
    Ok(known.properties().iter().filter_map(entry).collect())
}

/// The text as a tree, what is before it, and the object that has the servers, which is made where there is none.
fn read(text: &str, shape: Shape) -> Result<(&str, CstRootNode, CstObject), Bad> {
    let (mark, body) = match text.strip_prefix(MARK) {
        Some(body) => (&text[..MARK.len_utf8()], body),
        None => ("", text),
    };
    let root = CstRootNode::parse(body, &options()).map_err(|error| bad(body, &error))?;
    let no_object = |what: &str| Bad::config(format!("{what} is no object"));
    let object = root.object_value_or_create().ok_or_else(|| no_object("it"))?;
    let count = |key| {
        object.properties().iter().filter(|property| property.decoded_name().as_deref() == Some(key)).count()
    };
    let key = match shape {
        Shape::VsCode => "servers",
        // It is of a host that has them there.
        Shape::Unknown if count("mcpServers") == 0 && count("servers") > 0 => "servers",
        Shape::Servers | Shape::Projects | Shape::Unknown => "mcpServers",
    };
    if count(key) > 1 {
        return Err(Bad::config(format!("`{key}` is there twice")));
    }
    let known = object.object_value_or_create(key).ok_or_else(|| no_object(&format!("`{key}`")))?;
    Ok((mark, root, known))
}

/// Gives an object this member; of a member that is an object itself, each of its own.
fn put(object: &CstObject, key: &str, value: &Value) {
    match (object.get(key), value) {
        (Some(there), Value::Object(members)) => {
            let there = there.object_value_or_set();
            members.iter().for_each(|(key, value)| put(&there, key, value));
        }
        (Some(there), value) => there.set_value(input(value)),
        (None, value) => {
            object.append(key, input(value));
        }
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(flag) => CstInputValue::Bool(*flag),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(elements) => CstInputValue::Array(elements.iter().map(input).collect()),
        Value::Object(members) => {
            CstInputValue::Object(members.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn add(text: &str, shape: Shape) -> Added {
        let members =
            vec![("command", json!("/p")), ("args", json!(["--", "a\"b"])), ("env", json!({"K": "v"}))];
        with_servers(text, shape, &[New { name: "new".to_owned(), members, over: false }]).unwrap()
    }

    #[test]
    fn a_server_is_written_as_the_others_are() {
        for (text, shape, expected) in [
            (
                "",
                Shape::Servers,
                "{\n  \"mcpServers\": {\n    \"new\": {\n      \"command\": \"/p\",\n      \"args\": [\"--\", \"a\\\"b\"],\n      \"env\": {\n        \"K\": \"v\"\n      }\n    }\n  }\n}\n",
            ),
            (
                "\u{feff}{\r\n\t// mine\r\n\t\"servers\": {\r\n\t\t\"old\": {\"command\": \"x\"}, // kept\r\n\t},\r\n\t\"n\": 1.0e3,\r\n}",
                Shape::VsCode,
                "\u{feff}{\r\n\t// mine\r\n\t\"servers\": {\r\n\t\t\"old\": {\"command\": \"x\"}, // kept\r\n\t\t\"new\": {\r\n\t\t\t\"command\": \"/p\",\r\n\t\t\t\"args\": [\"--\", \"a\\\"b\"],\r\n\t\t\t\"env\": {\r\n\t\t\t\t\"K\": \"v\",\r\n\t\t\t},\r\n\t\t},\r\n\t},\r\n\t\"n\": 1.0e3,\r\n}",
            ),
        ] {
            let added = add(text, shape);
            assert_eq!(added.text, expected);
            assert_eq!(added.left, Vec::<String>::new());
            assert_eq!(add(&added.text, shape), added, "twice is once");
        }
    }

    #[test]
    fn a_file_of_an_unknown_host_gets_it_where_its_servers_are() {
        let text = r#"{"servers": {"a": {"command": "x"}}}"#;
        assert!(!add(text, Shape::Unknown).text.contains("mcpServers"));
        assert!(add("{}", Shape::Unknown).text.contains("mcpServers"));
    }

    #[test]
    fn what_is_there_is_left_and_what_is_no_config_is_refused() {
        let there = r#"{"mcpServers": {"new": {"command": "mine"}}}"#;
        assert_eq!(
            add(there, Shape::Servers),
            Added { text: there.to_owned(), left: vec!["new".to_owned()] }
        );
        for (text, why) in [
            (r#"{"mcpServers": {}, "mcpServers": {}}"#, "`mcpServers` is there twice"),
            ("[]", "it is no object"),
            (r#"{"mcpServers": 7}"#, "`mcpServers` is no object"),
            ("{", "unterminated"),
        ] {
            let new = New { name: "new".to_owned(), members: Vec::new(), over: false };
            let bad = with_servers(text, Shape::Servers, &[new]).unwrap_err();
            assert!(bad.why.contains(why), "{bad}");
        }
    }
}
