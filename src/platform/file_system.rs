//! What kind of file system holds a path, and whether it may be written.

use std::path::Path;

use rustix::fs::Access;

/// Why a database is in bad hands there, for the kinds that are known by their number (the magic
/// of `statfs(2)`); `None` for all others, and where the system does not say.
pub(crate) fn concern(path: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(path).ok()?;
    concern_of(found.f_type)
}

fn concern_of(magic: i64) -> Option<&'static str> {
    const NETWORK: [i64; 7] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB 2
        0x0102_1997, // 9p
        0x5346_414f, // AFS
        0x00c3_6400, // Ceph
    ];
    const OVERLAY: i64 = 0x794c_7630;
    if NETWORK.contains(&magic) {
        Some("a network file system, where locks and the log of a database can't be relied on")
    } else if magic == OVERLAY {
        Some("an overlay, as containers have: it may be gone with the container")
    } else {
        None
    }
}

/// Whether this process may not write at a path: a read-only file system, or its mode.
pub(crate) fn is_read_only(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_err()
}

/// How many bytes this user may still write there; `None` where the system does not say.
pub(crate) fn free_room(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_overlay_are_named_and_disks_are_not() {
        for (magic, word) in [
            (0x6969, Some("network")),
            (0xff53_4d42, Some("network")),
            (0x794c_7630, Some("overlay")),
            (0xef53, None),
            (0x5846_5342, None),
            (0x9123_683e, None),
            (0x0102_1994, None),
        ] {
            let concern = concern_of(magic);
            assert_eq!(concern.is_some(), word.is_some(), "{magic:x}");
            assert!(word.is_none_or(|word| concern.unwrap().contains(word)), "{magic:x}");
        }
        assert_eq!(concern(Path::new("/no/such/path")), None);
    }

    #[test]
    fn a_folder_has_some_room() {
        assert!(free_room(tempfile::tempdir().unwrap().path()).is_some_and(|room| room > 0));
        assert_eq!(free_room(Path::new("/no/such/path")), None);
    }

    #[test]
    fn a_path_that_is_not_there_can_not_be_written() {
        assert!(is_read_only(Path::new("/no/such/path")));
        assert!(!is_read_only(tempfile::tempdir().unwrap().path()));
    }
}
