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
