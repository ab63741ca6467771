//! Lists as Python prints them into the cells of a table: `['a dog', "it's a cat"]`, `[['0:01', '0:02.5'], …]`.

use serde_json::Value;

/// Lists inside lists that are followed.
const DEPTH: usize = 3;

/// The list that `cell` is, or nothing if it is any other text, such as `[something] falls`.
pub fn list(cell: &str) -> Option<Value> {
    let cell = cell.trim();
    if !cell.starts_with('[') || !cell.ends_with(']') {
        return None;
    }
    let (value, rest) = value(cell, DEPTH)?;
    rest.is_empty().then_some(value)
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str, depth: usize) -> Option<(Value, &str)> {
    let text = text.trim_start();
    match text.chars().next()? {
        '[' | '(' => items(&text[1..], depth.checked_sub(1)?),
        quote @ ('\'' | '"') => quoted(&text[1..], quote),
        _ => {
            let end = text.find([',', ']', ')'])?;
            let word = text[..end].trim_end();
            let value = if word == "None" { Value::Null } else { Value::from(word.parse::<f64>().ok()?) };
            Some((value, &text[end..]))
        }
    }
}

fn items(mut rest: &str, depth: usize) -> Option<(Value, &str)> {
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix([']', ')']) {
            return Some((Value::Array(items), rest.trim_start()));
        }
        let (item, behind) = value(rest, depth)?;
        items.push(item);
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with([']', ')']) => {}
            None => return None,
        }
    }
}

fn quoted(text: &str, quote: char) -> Option<(Value, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((Value::String(out), &text[at + 1..])),
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pythons_lists_are_understood_and_other_brackets_are_text() {
        assert_eq!(list(r#"['a dog', "it's [one]", 'say \'hi\'']"#), Some(json!(["a dog", "it's [one]", "say 'hi'"])));
        assert_eq!(list("[['0:00:01.5', '0:00:04'], [5, 7.5]]"), Some(json!([["0:00:01.5", "0:00:04"], [5.0, 7.5]])));
        assert_eq!(list("[(0, 1), None,]"), Some(json!([[0.0, 1.0], null])));
        for text in ["[something]", "[something] falls on [something]", "['open]", "[1] [2]", "[[[[1]]]]", "a", "[", ""]
        {
            assert_eq!(list(text), None, "{text}");
        }
    }
}
