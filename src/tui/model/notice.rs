//! What was said to the person: the newest is on screen, the rest is one key away.

use std::collections::VecDeque;

use crate::domain::time::UnixMillis;

/// How many are kept.
const KEPT: usize = 200;

/// What a notice means for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went as asked.
    Good,
    /// Something to know.
    Plain,
    /// Something needs a person.
    Bad,
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// When.
    pub(crate) at: UnixMillis,
    /// What it means.
    pub(crate) tone: Tone,
    /// What happened; one line, cleaned.
    pub(crate) text: String,
    /// What to do next; empty when nothing is to be done.
    pub(crate) remedy: String,
}

/// A number for people: `100,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// All that was said, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices {
    /// The kept ones.
    said: VecDeque<Notice>,
    /// Whether the newest was taken off the screen.
    quiet: bool,
}

impl Notices {
    /// Says something; one that says the same again only moves its time.
    pub(crate) fn say(&mut self, notice: Notice) {
        self.quiet = false;
        if let Some(last) = self.said.back_mut()
            && (&last.text, &last.remedy) == (&notice.text, &notice.remedy)
        {
            last.at = notice.at;
            return;
        }
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        self.said.push_back(notice);
    }

    /// The one on screen.
    pub(crate) fn newest(&self) -> Option<&Notice> {
        self.said.back().filter(|_| !self.quiet)
    }

    /// Takes the newest off the screen; answers whether there was one.
    pub(crate) fn dismiss(&mut self) -> bool {
        let shown = self.newest().is_some();
        self.quiet = true;
        shown
    }

    /// All kept ones, newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Notice> {
        self.said.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (100_000, "100,000")] {
            assert_eq!(grouped(number), shown);
        }
    }

    #[test]
    fn the_same_said_again_moves_its_time_and_a_dismissed_one_comes_back_when_said_again() {
        let say = |at| Notice {
            at: UnixMillis(at),
            tone: Tone::Plain,
            text: "busy".into(),
            remedy: String::new(),
        };
        let mut notices = Notices::default();
        notices.say(say(1));
        assert!(notices.dismiss() && notices.newest().is_none() && !notices.dismiss());
        notices.say(say(2));
        assert_eq!(notices.newest(), Some(&say(2)));
        assert_eq!(notices.all().count(), 1);
    }
}
