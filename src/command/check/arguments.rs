//! Arguments that do not fit a tool's schema. Pure.
//!
//! A check must do no harm, and a server that does not look at its arguments runs the tool. So only tools that say that
//! they only read are called with these, and those that the person has asked to call.

use serde_json::{Map, Value, json};

use super::schema::misfit;

/// Tools, with arguments that do not fit: `most` at most.
pub(super) fn wrong(tools: &[Value], called: &[&str], most: usize) -> Vec<(String, Value)> {
    let may = |tool: &&Value| {
        let annotations = &tool["annotations"];
        let only_reads = annotations["readOnlyHint"] == true && annotations["destructiveHint"] != true;
        only_reads || tool["name"].as_str().is_some_and(|name| called.contains(&name))
    };
    let wrong = tools.iter().filter(may).flat_map(|tool| {
        let none = Some(json!({})).filter(|_| !required(tool).is_empty());
        none.into_iter().chain(mistyped(tool)).filter_map(|arguments| {
            // Schemas can say more than is understood here.
            misfit(&tool["inputSchema"], &arguments)?;
            Some((tool["name"].as_str().map(str::to_owned), arguments))
        })
    });
    wrong.filter_map(|(name, arguments)| Some((name?, arguments))).take(most).collect()
}

fn required(tool: &Value) -> Vec<&str> {
    tool["inputSchema"]["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// All that is required, of another type than it has to be. `None` if nothing is, or no type is known.
fn mistyped(tool: &Value) -> Option<Value> {
    let properties = &tool["inputSchema"]["properties"];
    let filled = required(tool).into_iter().map(|name| {
        let wrong = match properties[name]["type"].as_str()? {
            // What no library takes for one of them, however lenient it is.
            "string" => json!({"not": "a text"}),
            "number" | "integer" | "boolean" | "array" | "object" => json!("something else"),
            _ => return None,
        };
        Some((name.to_owned(), wrong))
    });
    let filled: Map<String, Value> = filled.collect::<Option<_>>()?;
    (!filled.is_empty()).then_some(Value::Object(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tools_that_only_read_or_were_asked_for_are_called() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let tool = |name: &str, annotations: Value| json!({"name": name, "inputSchema": schema, "annotations": annotations});
        let tools = [
            tool("unsaid", Value::Null),
            tool("reads", json!({"readOnlyHint": true})),
            tool("contradicts", json!({"readOnlyHint": true, "destructiveHint": true})),
            json!({"name": "free", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}),
        ];
        let names = |called: &[&str]| -> Vec<String> {
            wrong(&tools, called, 9).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[]), ["reads", "reads"]);
        assert_eq!(names(&["unsaid"]), ["unsaid", "unsaid", "reads", "reads"]);
        assert_eq!(wrong(&tools, &[], 9)[1].1, json!({"n": "something else"}));
        assert_eq!(wrong(&tools, &[], 1).len(), 1);
    }

    #[test]
    fn what_would_fit_is_not_wrong() {
        let lenient = json!({"type": "object", "properties": {"s": {"type": "string"}}});
        let tool = json!({"name": "a", "inputSchema": lenient, "annotations": {"readOnlyHint": true}});
        assert_eq!(wrong(&[tool], &[], 9), []);
    }
}
