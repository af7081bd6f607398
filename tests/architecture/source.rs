//! Sources as text: what of a file is code of the program, and what is comment, literal or test.

use std::collections::BTreeMap;

use super::Sources;

/// The sources with comments, literals and test code blanked; files of tests are left out.
pub fn code_of_program(sources: &Sources) -> BTreeMap<String, String> {
    let mut code = BTreeMap::new();
    let mut test_modules = Vec::new();
    for (file, text) in sources {
        let mut bare = blank_comments_and_literals(text);
        let folder = match file.strip_suffix("mod.rs") {
            Some(folder) => folder.to_owned(),
            None => format!("{}/", file.trim_end_matches(".rs")),
        };
        test_modules.extend(blank_tests(&mut bare).iter().map(|name| format!("{folder}{name}")));
        code.insert(file.clone(), bare);
    }
    code.retain(|file, _| {
        !test_modules
            .iter()
            .any(|test| *file == format!("{test}.rs") || file.starts_with(&format!("{test}/")))
    });
    code
}

/// Blanks what the compiler does not read as code; lines stay where they are.
fn blank_comments_and_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let blanked = length_to_blank(rest, code.chars().next_back());
        let length = if blanked == 0 { first.len_utf8() } else { blanked };
        for character in rest[..length].chars() {
            let keep = blanked == 0 || character == '\n';
            code.push(if keep { character } else { ' ' });
        }
        rest = &rest[length..];
    }
    code
}

/// Length of the comment or literal that the text begins with, in bytes; 0 where it does not.
fn length_to_blank(text: &str, before: Option<char>) -> usize {
    let end = |found: Option<usize>| found.unwrap_or(text.len());
    if text.starts_with("//") {
        return end(text.find('\n'));
    }
    if text.starts_with("/*") {
        return end(comment_end(text));
    }
    if text.starts_with('"') {
        return end(quote_end(text, '"'));
    }
    let in_word = before.is_some_and(|before| before.is_alphanumeric() || before == '_');
    if let Some(raw) = text.strip_prefix('r').filter(|_| !in_word || before == Some('b')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let start = 1 + hashes + 1;
            return end(text[start..].find(&close).map(|at| start + at + close.len()));
        }
    }
    if text.starts_with('\'') {
        // A lifetime has no closing quote right after its first character.
        let mut after = text.chars().skip(1);
        let (first, second) = (after.next(), after.next());
        if first == Some('\\') || second == Some('\'') {
            return end(quote_end(text, '\''));
        }
    }
    0
}

fn comment_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

fn quote_end(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at + quote.len_utf8()),
            _ => {}
        }
    }
    None
}

/// Blanks every item under `#[cfg(test)]`, and answers the names of modules in files of their own.
fn blank_tests(code: &mut String) -> Vec<String> {
    const MARK: &str = "#[cfg(test)]";
    let mut modules = Vec::new();
    while let Some(start) = code.find(MARK) {
        let item = start + MARK.len();
        let end = item + item_length(&code[item..]);
        let text = &code[item..end];
        if let Some(name) = text.trim().strip_suffix(';').and_then(|text| text.split("mod ").nth(1))
        {
            modules.push(name.trim().to_owned());
        }
        let blank: String =
            code[start..end].chars().map(|one| if one == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
    }
    modules
}

/// Length of an item: to its `;`, or to the end of its braces.
fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth == 1 && !code[at + 1..].trim_start().starts_with(';') => return at + 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}
