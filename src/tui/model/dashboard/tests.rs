//! The list: selection, marks, filter and order.

use super::*;
use crate::tui::model::sample;

fn packed(credentials: Vec<Credential>) -> Packed {
    credentials.into_iter().collect()
}

fn loaded(rows: usize) -> Dashboard {
    let mut dashboard = Dashboard::default();
    dashboard.set_rows(rows);
    dashboard.replace(packed(sample::many()), sample::NOW);
    dashboard
}

#[test]
fn the_cursor_stays_on_its_credential_when_the_list_changes() {
    let mut dashboard = loaded(8);
    dashboard.move_by(4, sample::NOW);
    let address = dashboard.selected().unwrap().address.clone();
    let fewer = sample::many().into_iter().skip(2).collect();
    dashboard.replace(fewer, sample::NOW);
    assert_eq!(dashboard.selected().unwrap().address, address);
    dashboard.replace(packed(vec![]), sample::NOW);
    assert_eq!((dashboard.selected(), dashboard.rested()), (None, None));
}

#[test]
fn the_panel_follows_only_when_the_cursor_rests() {
    let mut dashboard = loaded(8);
    let first = dashboard.rested().unwrap().address.clone();
    dashboard.move_by(1, sample::NOW);
    assert_eq!(dashboard.rested().unwrap().address, first);
    assert_eq!(dashboard.follow_at(), Some(sample::NOW.plus(REST)));
    dashboard.follow();
    assert_ne!(dashboard.rested().unwrap().address, first);
    assert_eq!(dashboard.follow_at(), None);
}

#[test]
fn at_an_edge_the_list_moves_by_half_a_screen() {
    let mut dashboard = loaded(4);
    for _ in 0..4 {
        dashboard.move_by(1, sample::NOW);
    }
    assert_eq!(dashboard.off_screen(), (2, 2));
    let marked = dashboard.on_screen().position(|(under_cursor, _)| under_cursor);
    assert_eq!(marked, Some(2));
}

#[test]
fn a_new_credential_is_selected_though_a_filter_hides_it() {
    let mut dashboard = loaded(8);
    dashboard.set_filter("acme");
    dashboard.rearrange(sample::NOW);
    assert_eq!(dashboard.shown(), 2);
    let hidden = sample::address("umbrella", "production");
    dashboard.select(&hidden, sample::NOW);
    assert_eq!(dashboard.selected().unwrap().address, hidden);
    assert!(!dashboard.is_filtered());
}

#[test]
fn the_counts_follow_every_change_of_a_row() {
    let mut dashboard = loaded(8);
    for credential in sample::many() {
        let address = credential.address;
        let check = sample::check(CheckOutcome::Unreachable, 0, "no answer", "");
        dashboard.note_test(&address, &check, sample::NOW);
        let counted = dashboard.counts();
        dashboard.rearrange(sample::NOW);
        assert_eq!(counted, dashboard.counts(), "{address}");
    }
}

#[test]
fn nothing_ages_unless_a_countdown_is_shown() {
    let mut dashboard = Dashboard::default();
    dashboard.replace(packed(vec![sample::ready("acme", "production")]), sample::NOW);
    assert_eq!(dashboard.ages_at(), None);
    dashboard.replace(packed(sample::many()), sample::NOW);
    let next = dashboard.ages_at().unwrap();
    assert!(next > sample::NOW && next.since(sample::NOW) <= Duration::from_secs(61));
}

#[test]
fn marks_are_kept_by_address_and_a_range_goes_to_the_last_mark() {
    let mut dashboard = loaded(8);
    dashboard.toggle_mark(sample::NOW);
    dashboard.move_by(2, sample::NOW);
    dashboard.mark_range();
    assert_eq!(dashboard.marked.len(), 4);
    dashboard.replace(sample::many().into_iter().take(2).collect(), sample::NOW);
    assert_eq!(dashboard.marked.len(), 2);
    assert_eq!(dashboard.many().len(), 2);
}

#[test]
fn words_narrow_the_list_and_an_exclamation_mark_turns_them() {
    let all = packed(sample::many());
    let count = |typed: &str| {
        all.rows().filter(|row| Filter::parse(typed).passes(row, sample::NOW)).count()
    };
    assert_eq!(count(""), all.len());
    assert_eq!(count("ACME"), 2);
    assert_eq!(count("acme env:sand"), 1);
    assert_eq!(count("env:prod") + count("!env:prod"), all.len());
    assert_eq!(count("state:ready"), 3);
    assert_eq!(count("state:needs_setup"), 1);
    assert_eq!(count("tag:billing"), 2);
    assert_eq!(count("user:sync@acme"), 2);
    assert_eq!(count("nothing-like-this"), 0);
    assert!(Filter::parse(" ! ").is_empty());
}
