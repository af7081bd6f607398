//! Memory that holds a key: kept out of the swap. The one module that may go past the compiler's
//! checks, for a call that only takes an address.

#![expect(unsafe_code, reason = "mlock(2) takes an address and a length")]

/// Asks the system to keep these bytes in memory and never on a swap device. Answers whether it
/// does; the limit of a user (`ulimit -l`) can be in the way, and nothing else depends on it.
pub(crate) fn keep_from_swap(secret: &[u8]) -> bool {
    // SAFETY: the range is that of a live slice. mlock changes no content and no protection, only
    // whether the pages may be swapped out; the pages stay locked until the process ends, which
    // harms nothing when the memory is used again.
    unsafe { rustix::mm::mlock(secret.as_ptr().cast_mut().cast(), secret.len()) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_secret_are_locked() {
        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmLck:")).unwrap().to_owned();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let secret = vec![7; 32];
        if keep_from_swap(&secret) {
            assert!(locked() >= 4, "{} KiB", locked());
        }
    }
}
