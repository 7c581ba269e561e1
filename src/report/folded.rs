//! Texts in lines that fit a terminal. Pure.

/// A text in lines of this many characters at most, but for longer words: `start`, which has `indent` characters, before the
/// first of them, and as many blanks before the others. Ends with a line feed.
pub fn folded(start: &str, text: &str, indent: usize, width: usize) -> String {
    let mut lines = start.to_owned();
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words_and_words_are_not() {
        let long = "x".repeat(120);
        let told = folded("      host  ", &format!("{} {long} end", ["word"; 30].join(" ")), 12, 100);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert!(lines[0].starts_with("      host  word word") && lines[0].len() <= 100, "{told}");
        assert!(lines[1].starts_with("            word") && lines[1].len() <= 100, "{told}");
        assert_eq!(lines[2], format!("            {long}"));
        assert_eq!(lines[3], "            end");
    }
}
