//! Members that need not be there, and what they must be where they are. Clients that validate refuse anything else, `null`
//! and `[]` for `{}` included.

use serde_json::Value;

use super::super::lines::kind;

/// What a member must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Text,
    Truth,
    Number,
    Object,
    /// An object whose members are objects.
    Objects,
    Array,
    /// An array of texts.
    Texts,
    /// Pictures: each an object with a `src`.
    Icons,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Truth => "true or false",
            Self::Number => "number",
            Self::Object => "object",
            Self::Objects => "object of objects",
            Self::Array => "array",
            Self::Texts => "array of texts",
            Self::Icons => "array of icons, each with a src",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Truth => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Object => value.is_object(),
            Self::Objects => value.as_object().is_some_and(|all| all.values().all(Value::is_object)),
            Self::Array => value.is_array(),
            Self::Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
            Self::Icons => value.as_array().is_some_and(|all| all.iter().all(is_icon)),
        }
    }
}

fn is_icon(icon: &Value) -> bool {
    const MEMBERS: &[(&str, Type)] =
        &[("mimeType", Type::Text), ("sizes", Type::Texts), ("theme", Type::Text)];
    icon["src"].is_string() && wrong(icon, MEMBERS).is_empty()
}

/// Which of these members are there and are something else, each as a clause.
pub(super) fn wrong(value: &Value, members: &[(&str, Type)]) -> Vec<String> {
    let wrong = members.iter().filter_map(|(name, what)| {
        let member = value.get(*name).filter(|member| !what.fits(member))?;
        // An array can be one, and have the wrong things in it.
        let is = kind(member);
        Some(format!("{name} is no {} but {is}", what.word()))
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_is_right_and_what_is_null_is_not() {
        let all = [
            Type::Text,
            Type::Truth,
            Type::Number,
            Type::Object,
            Type::Objects,
            Type::Array,
            Type::Texts,
            Type::Icons,
        ];
        for what in all {
            assert!(wrong(&json!({}), &[("a", what)]).is_empty(), "{what:?}");
            assert_eq!(wrong(&json!({"a": null}), &[("a", what)]).len(), 1, "{what:?}");
        }
        let icons = [("icons", Type::Icons)];
        assert!(wrong(&json!({"icons": [{"src": "a", "sizes": ["any"]}]}), &icons).is_empty());
        for icon in [json!({}), json!({"src": null}), json!({"src": "a", "sizes": null}), json!("a")] {
            assert_eq!(wrong(&json!({ "icons": [icon] }), &icons).len(), 1);
        }
        assert_eq!(wrong(&json!({"a": []}), &[("a", Type::Object)]), ["a is no object but an array"]);
        assert_eq!(wrong(&json!({"a": {"b": []}}), &[("a", Type::Objects)]).len(), 1);
    }
}
