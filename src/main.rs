//! The program: sets up how a crash is reported, then runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The report of a crash holds no environment: it could name files with secrets.
    let installed =
        color_eyre::config::HookBuilder::new().display_env_section(false).install().is_ok();
    let code = std::panic::catch_unwind(orgkey::run).unwrap_or(1);
    // Without the report there is still the standard message of a panic.
    let _ = installed;
    ExitCode::from(code)
}
