//! The form: hints, live checks, and what is sent.

use super::*;
use crate::tui::model::sample;
use crate::tui::model::tests::wrong_account;

fn type_into(form: &mut Form, field: Field, text: &str) {
    form.focus = Focus::Field(field);
    for character in text.chars() {
        form.key(FormIntent::Type(Key::Char(character)), &HostPolicy::default());
    }
}

fn press_save(form: &mut Form) -> Wish {
    form.focus = Focus::Save;
    form.key(FormIntent::Activate, &HostPolicy::default())
}

#[test]
fn a_refused_save_puts_the_cursor_on_the_field_that_is_wrong() {
    let table = [
        ("", "00D5g00000Abc1X", "0055g00000FgHiJ", "", Field::Name),
        ("acme", "00D5g00000Abc1XEAA", "0055g00000FgHiJ", "", Field::OrgId),
        ("acme", "00D5g00000Abc1X", "", "", Field::UserId),
        ("acme", "00D5g00000Abc1X", "0055g00000FgHiJ", "https://evil.example", Field::LoginUrl),
    ];
    for (name, org, user, url, wrong) in table {
        let mut form = Form::for_new("");
        type_into(&mut form, Field::Name, name);
        type_into(&mut form, Field::OrgId, org);
        type_into(&mut form, Field::UserId, user);
        type_into(&mut form, Field::LoginUrl, url);
        assert_eq!(press_save(&mut form), Wish::Nothing);
        assert_eq!(form.focus, Focus::Field(wrong));
        let finding = form.finding(wrong, &HostPolicy::default());
        assert!(matches!(finding, Finding::Wrong(_)), "{finding:?}");
    }
}

#[test]
fn a_short_id_shows_its_long_form_and_an_empty_field_is_not_scolded_early() {
    let mut form = Form::for_new("");
    let policy = HostPolicy::default();
    assert_eq!(form.finding(Field::OrgId, &policy), Finding::Nothing);
    type_into(&mut form, Field::OrgId, "00D5g00000Abc1X");
    assert_eq!(form.finding(Field::OrgId, &policy), Finding::Good("= 00D5g00000Abc1XEAR".into()));
}

#[test]
fn a_pasted_address_fills_ids_and_my_domain_and_a_token_goes_nowhere() {
    let mut form = Form::for_new("");
    form.focus = Focus::Field(Field::OrgId);
    form.paste(
        "https://acme.lightning.force.com/lightning/setup/ManageUsers/page?address=%2F0055g00000FgHiJ",
        &HostPolicy::default(),
    );
    assert_eq!(form.values.user_id.value(), "0055g00000FgHiJAAV");
    assert_eq!(form.values.login_url.value(), "https://acme.my.salesforce.com");
    assert_eq!(form.remark.as_deref(), Some("taken from the address: User ID, My Domain"));
    form.paste("00D5g00000Abc1X!AQEAQInvented.ab_CD", &HostPolicy::default());
    assert_eq!(form.values.org_id.value(), "");
}

#[test]
fn a_reset_sends_what_changed_and_nothing_else() {
    let mut form = Form::for_reset(&sample::ready("acme", "production"), None);
    assert_eq!(press_save(&mut form), Wish::Leave);
    type_into(&mut form, Field::Tags, " billing");
    let Wish::Send(operations) = press_save(&mut form) else { panic!("nothing sent") };
    let [Operation::Reset(request)] = operations.as_slice() else { panic!("{operations:?}") };
    assert_eq!(request.tags, Some(vec!["eu".to_owned(), "billing".to_owned()]));
    assert_eq!((&request.org_id, &request.rename, &request.username), (&None, &None, &None));
}

#[test]
fn the_box_of_a_reset_shows_the_other_set_and_loses_nothing() {
    let production = sample::ready("acme", "production");
    let mut form = Form::for_reset(&production, None);
    form.focus = Focus::Field(Field::Environment);
    form.key(FormIntent::Type(Key::Char(' ')), &HostPolicy::default());
    assert_eq!(form.values.org_id.value(), "");
    type_into(&mut form, Field::OrgId, "00D5g00000Abc1X");
    type_into(&mut form, Field::UserId, "0055g00000FgHiJ");
    let Wish::Send(operations) = press_save(&mut form) else { panic!("nothing sent") };
    let [Operation::Save(requests)] = operations.as_slice() else { panic!("{operations:?}") };
    assert!(requests[0].sandbox && requests[0].name == "acme");
}

#[test]
fn a_changed_account_of_a_live_token_is_announced_as_staged() {
    let mut form = Form::for_reset(&sample::ready("acme", "production"), None);
    assert!(!form.stages_an_edit());
    form.values.user_id.set("005000000000AbC");
    assert!(form.stages_an_edit());
}

#[test]
fn another_org_is_never_filled_in() {
    let FailureDetail::WrongAccount(found) = wrong_account().detail else { panic!("it is one") };
    let saved = sample::saved("acme", "production");
    let mut form = Form::for_reset(&saved, None);
    let mut elsewhere = (*found).clone();
    elsewhere.signed_in_environment = Some(Environment::Sandbox);
    form.propose_user(&elsewhere);
    let mut other_org = (*found).clone();
    other_org.signed_in.org_id = crate::domain::id::OrgId::parse("00D00000000AbcD").unwrap();
    form.propose_user(&other_org);
    assert_eq!(form.values.user_id.value(), saved.user_id.as_str());
    assert!(!form.changed);
    form.propose_user(&found);
    assert_eq!(form.values.user_id.value(), found.signed_in.user_id.as_str());
}
