//! Templates of names: text with `{{.Name}}` in it.

use super::error::GenerateError;

/// The text with values in place of their names.
pub(super) fn render(template: &str, values: &[(&str, &str)]) -> Result<String, GenerateError> {
    let wrong = |reason: String| GenerateError::Template {
        template: template.to_owned(),
        reason,
    };
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after
            .split_once("}}")
            .ok_or_else(|| wrong("has {{ without }}".to_owned()))?;
        let name = inside.trim().strip_prefix('.').unwrap_or_default();
        let value = values.iter().find(|(known, _)| *known == name);
        let (_, value) = value.ok_or_else(|| {
            let names: Vec<_> = values
                .iter()
                .map(|(name, _)| format!("{{{{.{name}}}}}"))
                .collect();
            wrong(format!("may name {} only", names.join(", ")))
        })?;
        text.push_str(before);
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_their_names_were() {
        let values = [("Prefix", "peer"), ("Index", "7")];
        let rendered = |template| render(template, &values).map_err(|error| error.to_string());
        assert_eq!(rendered("{{.Prefix}}{{ .Index }}-x").unwrap(), "peer7-x");
        assert_eq!(rendered("plain").unwrap(), "plain");
        assert!(
            rendered("{{.Colour}}")
                .unwrap_err()
                .contains("{{.Prefix}}, {{.Index}}")
        );
        assert!(rendered("{{.Prefix").unwrap_err().contains("without"));
    }
}
