//! Capital letters and digits of five by five cells, for a code that is read across a desk. What
//! is easily taken for another one is drawn apart: the zero has a stroke, the one a foot.

/// Cells of a letter, and of the gap after it.
const PITCH: usize = 6;

/// The letters, row by row.
const LETTERS: [(char, [&str; 5]); 37] = [
    ('0', [" ### ", "#  ##", "# # #", "##  #", " ### "]),
    ('1', ["  #  ", " ##  ", "  #  ", "  #  ", " ### "]),
    ('2', ["#### ", "    #", " ### ", "#    ", "#####"]),
    ('3', ["#### ", "    #", " ### ", "    #", "#### "]),
    ('4', ["#  # ", "#  # ", "#####", "   # ", "   # "]),
    ('5', ["#####", "#    ", "#### ", "    #", "#### "]),
    ('6', [" ### ", "#    ", "#### ", "#   #", " ### "]),
    ('7', ["#####", "   # ", "  #  ", " #   ", "#    "]),
    ('8', [" ### ", "#   #", " ### ", "#   #", " ### "]),
    ('9', [" ### ", "#   #", " ####", "    #", " ### "]),
    ('A', [" ### ", "#   #", "#####", "#   #", "#   #"]),
    ('B', ["#### ", "#   #", "#### ", "#   #", "#### "]),
    ('C', [" ####", "#    ", "#    ", "#    ", " ####"]),
    ('D', ["#### ", "#   #", "#   #", "#   #", "#### "]),
    ('E', ["#####", "#    ", "###  ", "#    ", "#####"]),
    ('F', ["#####", "#    ", "###  ", "#    ", "#    "]),
    ('G', [" ####", "#    ", "#  ##", "#   #", " ### "]),
    ('H', ["#   #", "#   #", "#####", "#   #", "#   #"]),
    ('I', ["#####", "  #  ", "  #  ", "  #  ", "#####"]),
    ('J', ["    #", "    #", "    #", "#   #", " ### "]),
    ('K', ["#   #", "#  # ", "###  ", "#  # ", "#   #"]),
    ('L', ["#    ", "#    ", "#    ", "#    ", "#####"]),
    ('M', ["#   #", "## ##", "# # #", "#   #", "#   #"]),
    ('N', ["#   #", "##  #", "# # #", "#  ##", "#   #"]),
    ('O', [" ### ", "#   #", "#   #", "#   #", " ### "]),
    ('P', ["#### ", "#   #", "#### ", "#    ", "#    "]),
    ('Q', [" ### ", "#   #", "# # #", "#  # ", " ## #"]),
    ('R', ["#### ", "#   #", "#### ", "#  # ", "#   #"]),
    ('S', [" ####", "#    ", " ### ", "    #", "#### "]),
    ('T', ["#####", "  #  ", "  #  ", "  #  ", "  #  "]),
    ('U', ["#   #", "#   #", "#   #", "#   #", " ### "]),
    ('V', ["#   #", "#   #", "#   #", " # # ", "  #  "]),
    ('W', ["#   #", "#   #", "# # #", "## ##", "#   #"]),
    ('X', ["#   #", " # # ", "  #  ", " # # ", "#   #"]),
    ('Y', ["#   #", " # # ", "  #  ", "  #  ", "  #  "]),
    ('Z', ["#####", "   # ", "  #  ", " #   ", "#####"]),
    ('-', ["     ", "     ", " ### ", "     ", "     "]),
];

/// The rows of a text; `None` where it has a character that is not here, or is wider than `room`.
pub(crate) fn rows(text: &str, room: usize) -> Option<[String; 5]> {
    if text.is_empty() || text.chars().count() * PITCH > room + 1 {
        return None;
    }
    let mut rows: [String; 5] = Default::default();
    for character in text.chars() {
        let (_, letter) = LETTERS.iter().find(|(known, _)| *known == character)?;
        for (row, part) in rows.iter_mut().zip(letter) {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(part);
        }
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_its_cells_and_no_two_are_alike() {
        for (index, (letter, cells)) in LETTERS.iter().enumerate() {
            assert!(cells.iter().all(|row| row.len() == PITCH - 1), "{letter}");
            for (other, same) in &LETTERS[index + 1..] {
                assert_ne!(cells, same, "{letter} {other}");
            }
        }
        for letter in ('A'..='Z').chain('0'..='9') {
            assert!(rows(&letter.to_string(), 5).is_some(), "{letter}");
        }
    }

    #[test]
    fn what_does_not_fit_or_is_no_letter_is_not_drawn() {
        assert_eq!(rows("08T3AY9D", 47).unwrap()[0].len(), 47);
        assert_eq!(rows("08T3AY9D", 46), None);
        assert_eq!(rows("abc", 80), None);
        assert_eq!(rows("", 80), None);
    }
}
