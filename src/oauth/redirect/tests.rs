//! Some 200 pastes, good and bad, and what must hold of all.

use proptest::prelude::*;

use super::*;
use crate::domain::fault::FaultKind;
use crate::oauth::testing::shown;

const STATE: &str = "q7Zr0w_Tn-3kLxYbVdMe5A";
const CODE: &str = "aPrx4sgoM2Nd1zWeFVlOWveD0HhYmiDiLmlLnXEBgX01tpVOQMWVSUuafFPHu3kCSjzk4CUTZg==";
const ENC: &str =
    "aPrx4sgoM2Nd1zWeFVlOWveD0HhYmiDiLmlLnXEBgX01tpVOQMWVSUuafFPHu3kCSjzk4CUTZg%3D%3D";
const TWICE: &str =
    "aPrx4sgoM2Nd1zWeFVlOWveD0HhYmiDiLmlLnXEBgX01tpVOQMWVSUuafFPHu3kCSjzk4CUTZg%253D%253D";
const LOCAL: &str = "http://localhost:1717/OauthRedirect";
const DONE: &str = "https://login.salesforce.com/services/oauth2/success";

fn read(pasted: &str) -> Result<String, RedirectError> {
    let state = SecretString::from(STATE);
    let expected = ExpectedRedirect {
        state: &state,
        redirect_uri: LOCAL,
        login_host: "acme.my.salesforce.com",
    };
    let result = read_redirect(pasted, &expected);
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty() && !error.remedy(&expected).is_empty());
        assert!(!error.to_string().ends_with('.') && !error.remedy(&expected).ends_with('.'));
        for secret in [STATE, &CODE[..30], "hunter2", "Invented", "evil.example"] {
            assert!(!error.to_string().contains(secret), "{error}");
            assert!(!error.remedy(&expected).contains(secret), "{error}");
        }
    }
    result.map(|code| shown(&code.0).to_owned())
}

/// Every shape of the right answer.
fn right_pastes() -> Vec<String> {
    let wrapped = format!("{LOCAL}?code={ENC}&state={STATE}");
    let (first, rest) = wrapped.split_at(60);
    vec![
        wrapped.clone(),
        format!("{DONE}?code={ENC}&state={STATE}"),
        format!("https://acme.my.salesforce.com/services/oauth2/success?code={ENC}&state={STATE}"),
        format!("https://evil.example/x?code={ENC}&state={STATE}"),
        format!("{LOCAL}?state={STATE}&code={ENC}"),
        format!("{LOCAL}?code={CODE}&state={STATE}"),
        format!("{LOCAL}?code={TWICE}&state={STATE}"),
        format!("{LOCAL}?code={}&state={STATE}", ENC.replace("%3D", "%3d")),
        format!("  {wrapped}  \n"),
        format!("{first}\n{rest}"),
        format!("{first}\r\n    {rest}\r\n"),
        format!("\"{wrapped}\""),
        format!("'{wrapped}'"),
        format!("<{wrapped}>"),
        format!("\u{201c}{wrapped}\u{201d}"),
        format!("({wrapped})."),
        format!("`{wrapped}`,"),
        format!("\u{feff}{wrapped}\u{200b}"),
        format!("\u{1b}[200~{wrapped}").replace("[200~", ""),
        wrapped.replace('&', "&amp;"),
        wrapped.replace('?', "\\?").replace('=', "\\=").replace('&', "\\&"),
        format!("{wrapped}#"),
        format!("{wrapped}#_=_"),
        format!("{LOCAL}#code={ENC}&state={STATE}"),
        format!("{LOCAL}/?code={ENC}&state={STATE}&sfdc_community_id=0DB000000000001"),
        format!("{wrapped}{wrapped}"),
        format!("{wrapped}\n{wrapped}\n"),
        "http%3A%2F%2Flocalhost%3A1717%2FOauthRedirect%3Fcode%3D".to_owned()
            + TWICE
            + "%26state%3D"
            + STATE,
        format!("code={ENC}&state={STATE}"),
        format!("state={STATE}&code={ENC}"),
        format!("?code={ENC}&state={STATE}"),
        format!("code={ENC}"),
        format!("17/OauthRedirect?code={ENC}&state={STATE}"),
        CODE.to_owned(),
        ENC.to_owned(),
        TWICE.to_owned(),
        format!("{}\n{}", &ENC[..40], &ENC[40..]),
        format!("'{CODE}'"),
    ]
}

#[test]
fn every_shape_of_the_right_answer_gives_the_code() {
    for pasted in right_pastes() {
        assert_eq!(read(&pasted).as_deref(), Ok(CODE), "{pasted}");
    }
}

#[test]
fn words_of_mails_chats_and_terminals_around_it_are_left_out() {
    let around = [
        ("Here it is: ", ""),
        ("", " is where it ended"),
        ("", "\n\nBest regards\nana\n"),
        ("Hi,\n", "\nthanks!"),
        ("> ", "\n> -- \n> sent from my phone"),
    ];
    let addresses = right_pastes();
    let addresses = addresses.iter().filter(|address| address.matches("://").count() == 1);
    let mut texts: Vec<String> = addresses
        .flat_map(|address| around.map(|(before, after)| format!("{before}{address}{after}")))
        .collect();
    for code in [CODE, ENC, TWICE] {
        texts.extend([" thanks", "\n$ ", "\nana@jump:~$ ls"].map(|after| format!("{code}{after}")));
    }
    assert!(texts.len() >= 120, "{}", texts.len());
    for text in texts {
        assert_eq!(read(&text).as_deref(), Ok(CODE), "{text}");
    }
}

type Row = (String, RedirectError);

fn all_are_named(table: Vec<Row>) {
    for (pasted, error) in table {
        assert_eq!(read(&pasted), Err(error), "{pasted}");
    }
}

#[test]
fn a_cut_paste_is_named_with_its_length() {
    use RedirectError as E;
    let characters = |text: &str| E::Cut(text.len());
    let cut_code = format!("{LOCAL}?state={STATE}&code={}", &CODE[..43]);
    let cut_escape = format!("{LOCAL}?state={STATE}&code={}", &ENC[..ENC.len() - 1]);
    let cut_state = format!("{LOCAL}?code={ENC}&state={}", &STATE[..9]);
    let cut_front = format!("{}&state={STATE}", &ENC[8..]);
    all_are_named(vec![
        (String::new(), E::Empty),
        (" \r\n\t\"' ".into(), E::Empty),
        ("x".repeat(PASTE_LIMIT + 1), E::TooLong(PASTE_LIMIT + 1)),
        (cut_code.clone(), characters(&cut_code)),
        (cut_escape.clone(), characters(&cut_escape)),
        (cut_state.clone(), characters(&cut_state)),
        (cut_front.clone(), characters(&cut_front)),
        (CODE[..43].into(), E::Cut(43)),
        ("aPrx".into(), E::Cut(4)),
        (CODE[..CODE.len() - 1].into(), E::Cut(CODE.len() - 1)),
        ("code=".into(), E::Cut(5)),
        (format!("code={}", &ENC[..30]), E::Cut(35)),
    ]);
}

#[test]
fn an_address_of_another_kind_or_attempt_is_named() {
    use RedirectError as E;
    all_are_named(vec![
        (format!("{LOCAL}?code={ENC}"), E::StateMissing),
        (format!("{LOCAL}?code={ENC}&stat"), E::StateMissing),
        (format!("{LOCAL}?code={ENC}&state="), E::Cut(LOCAL.len() + ENC.len() + 13)),
        (format!("{LOCAL}?code={ENC}&state=AAAAAAAAAAAAAAAAAAAAAA"), E::WrongState),
        (format!("{LOCAL}?code={ENC}&state={STATE}x"), E::WrongState),
        (format!("{LOCAL}?code={ENC}&state={}", STATE.to_lowercase()), E::WrongState),
        (format!("{LOCAL}?error=access_denied&state=AAAAAAAAAAAAAAAAAAAAAA"), E::WrongState),
        (
            format!(
                "{LOCAL}?code={ENC}&state={STATE} {LOCAL}?code=aPrxOther00000000==&state={STATE}"
            ),
            E::TwoAddresses,
        ),
        (format!("code={ENC}&state={STATE}&state=AAAAAAAAAAAAAAAAAAAAAA"), E::TwoAddresses),
        (
            format!(
                "https://acme.my.salesforce.com/services/oauth2/authorize?response_type=code&client_id=3MVG9&state={STATE}&code_challenge=E9&prompt=login"
            ),
            E::AuthorizationUrl,
        ),
        ("https://acme.my.salesforce.com/services/oauth2/authorize".into(), E::AuthorizationUrl),
        (format!("response_type=code&state={STATE}&code_challenge=E9"), E::AuthorizationUrl),
        (LOCAL.into(), E::NoCode),
        (DONE.into(), E::NoCode),
        ("https://acme.my.salesforce.com/?ec=302&startURL=%2Fsetup%2Fsecur".into(), E::NoCode),
        ("https://acme.lightning.force.com/lightning/page/home".into(), E::NoCode),
        ("localhost:1717/OauthRedirect".into(), E::NoCode),
    ]);
}

#[test]
fn a_secret_in_the_wrong_place_is_named_and_not_echoed() {
    use Misplaced as M;
    use RedirectError as E;
    all_are_named(vec![
        ("00D5g00000Abc1X!AQEAQInventedInvented.ab_CD".into(), E::Misplaced(M::AccessToken)),
        (
            "https://acme.my.salesforce.com/secur/frontdoor.jsp?sid=00D5g00000Abc1X%21AQEAQInvented".into(),
            E::Misplaced(M::AccessToken),
        ),
        (
            format!("{LOCAL}#access_token=00D5g00000Abc1X%21AQEAQInventedInvented&state={STATE}"),
            E::Misplaced(M::AccessToken),
        ),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJJbnZlbnRlZCJ9.c2ln".into(), E::Misplaced(M::AccessToken)),
        ("5Aep861InventedInvented.Invented_x".into(), E::Misplaced(M::RefreshToken)),
        ("code=5Aep861InventedInvented.Invented_x".into(), E::Misplaced(M::RefreshToken)),
        ("force://PlatformCLI::5Aep861Invented@acme.my.salesforce.com".into(), E::Misplaced(M::SfdxAuthUrl)),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIEInvented\n-----END PRIVATE KEY-----".into(),
            E::Misplaced(M::PrivateKey),
        ),
        ("AGE-SECRET-KEY-1INVENTED".into(), E::Misplaced(M::AgeIdentity)),
        ("3MVG9Invented.Invented_Invented".into(), E::Misplaced(M::ClientId)),
        ("8472910365021987345".into(), E::Misplaced(M::ClientSecret)),
        ("0123456789ABCDEF".repeat(4), E::Misplaced(M::ClientSecret)),
        ("svc-sync@acme.com".into(), E::Misplaced(M::Username)),
        ("00D5g00000Abc1XEAR".into(), E::Misplaced(M::SalesforceId)),
        ("0055g00000FgHiJ".into(), E::Misplaced(M::SalesforceId)),
        ("hunter2".into(), E::NotACode),
        ("correct horse battery staple hunter2".into(), E::NotACode),
        ("hunter2!\u{a3}$%^&*()".into(), E::NotACode),
        ("hunter2=hunter2".into(), E::NotACode),
        ("yes".into(), E::NotACode),
        (format!("code={CODE}\u{e9}=="), E::NotACode),
        ("\u{1f511}".repeat(30), E::NotACode),
    ]);
}

#[test]
fn refusals_of_salesforce_are_read_out_of_any_address() {
    let table = [
        (
            format!("{LOCAL}?error=access_denied&error_description=end-user+denied+authorization&state={STATE}"),
            FaultKind::AccessDenied,
        ),
        (format!("{LOCAL}?error=access_denied"), FaultKind::AccessDenied),
        (
            "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client&error_description=app+must+be+installed+into+org".into(),
            FaultKind::AppNotInstalled,
        ),
        (
            "https://login.salesforce.com/x?error=invalid_client&error_description=app%20must%20be%20installed%20into%20org".into(),
            FaultKind::AppNotInstalled,
        ),
        (
            "error=invalid_client&error_description=app must be installed into org".into(),
            FaultKind::AppNotInstalled,
        ),
        (
            "https://x.example/?error=redirect_uri_mismatch&error_description=redirect_uri%20must%20match%20configuration".into(),
            FaultKind::RedirectUriMismatch,
        ),
        ("https://x.example/?ErrorCode=OAUTH_APPROVAL_ERROR_GENERIC".into(), FaultKind::ApprovalError),
        ("OAUTH_APPROVAL_ERROR_GENERIC : An unexpected error has occurred".into(), FaultKind::ApprovalError),
        ("OAUTH_APP_BLOCKED: this app is blocked by admin".into(), FaultKind::AppBlocked),
        ("error=brand_new".into(), FaultKind::UnknownOAuthError),
    ];
    for (pasted, kind) in table {
        match read(&pasted) {
            Err(RedirectError::Refused(fault)) => {
                assert_eq!(fault.kind, kind, "{pasted}");
                assert_eq!(fault.host, "acme.my.salesforce.com", "the pasted host is not named");
            }
            other => panic!("{pasted}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn no_paste_panics_and_none_is_echoed(text in any::<String>(), secret in "[A-Za-z0-9]{24}") {
        let _ = read(&text);
        let pasted = format!("{text}{secret}");
        if let Err(error) = read(&pasted) {
            prop_assert!(matches!(error, RedirectError::Refused(_)) || !error.to_string().contains(&secret));
        }
    }

    #[test]
    fn the_code_does_not_depend_on_the_host_or_on_where_lines_break(
        host in "[a-z.]{1,30}(:[0-9]{1,5})?",
        path in "[A-Za-z/]{0,20}",
        every in 5_usize..90,
    ) {
        let address = format!("https://{host}/{path}?code={ENC}&state={STATE}");
        let lines: Vec<&str> = address.as_bytes().chunks(every).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let code = read(&lines.join("\r\n  "));
        prop_assert_eq!(code.as_deref(), Ok(CODE));
    }

    #[test]
    fn any_other_state_is_refused(state in "[A-Za-z0-9_-]{1,40}") {
        prop_assume!(state != STATE);
        let refused = read(&format!("{LOCAL}?code={ENC}&state={state}"));
        prop_assert!(matches!(refused, Err(RedirectError::WrongState | RedirectError::Cut(_))));
    }

    #[test]
    fn a_cut_address_is_never_taken_for_a_whole_one(length in 1_usize..160) {
        let address = format!("{LOCAL}?code={ENC}&state={STATE}");
        prop_assume!(length < address.len());
        prop_assert!(read(&address[..length]).is_err());
    }
}
