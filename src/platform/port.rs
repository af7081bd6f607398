//! Who listens on a port of this machine, as far as /proc tells: other users' processes keep their
//! descriptors to themselves.

use std::collections::BTreeSet;
use std::fs;

use crate::domain::text;

/// What the kernel calls a listening socket.
const LISTEN: &str = "0A";

/// The process that listens on a TCP port, by name and number; `None` where it can't be told.
pub(crate) fn listening_process(port: u16) -> Option<String> {
    let inodes: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?;
    let mut names = processes.filter_map(|process| {
        let process = process.ok()?;
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?;
        let holds = open.any(|descriptor| {
            let target = descriptor.ok().and_then(|one| fs::read_link(one.path()).ok());
            let target = target.as_deref().and_then(|target| target.to_str()).map(str::to_owned);
            target
                .as_deref()
                .and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'))
                .is_some_and(|inode| inodes.contains(inode))
        });
        let name = fs::read_to_string(process.path().join("comm")).ok().filter(|_| holds)?;
        Some(format!("{} (process {pid})", text::clean(name.trim())))
    });
    names.next()
}

/// Whether what [`listening_process`] told is another process of this program.
pub(crate) fn is_of_this_program(told: &str) -> bool {
    let Ok(ours) = fs::read_to_string("/proc/self/comm") else { return false };
    told.strip_prefix(text::clean(ours.trim()).as_str())
        .is_some_and(|rest| rest.starts_with(" (process "))
}

/// Inodes of the sockets that listen on a port, out of a table of /proc/net.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&wanted) && row[3] == LISTEN)
        .map(|row| row[9].to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_told_by_its_process() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let who = listening_process(port).unwrap();
        assert!(who.ends_with(&format!("(process {})", std::process::id())), "{who}");
        drop(listener);
        assert_eq!(listening_process(port), None);
    }

    #[test]
    fn what_merely_talks_by_a_port_does_not_listen_on_it() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:06B5 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0\n   1: 0100007F:06B5 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0\n   2: short\n";
        assert_eq!(listening_inodes(table, 1717), ["4711"]);
        assert_eq!(listening_inodes(table, 1718), Vec::<String>::new());
    }
}
