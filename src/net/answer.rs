//! Reads one HTTP/1.1 answer (RFC 9112) into memory that was made before it was asked for, so that
//! nothing stands between its last byte and the disk.

use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::domain::http::Response;
use crate::domain::http_time::{parse_date, parse_retry_after};
use crate::domain::text;
use crate::domain::time::UnixMillis;

/// Longest head of an answer, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;
/// Most header fields of an answer.
const FIELD_LIMIT: usize = 100;
/// Most interim answers (1xx) before the final one.
const INTERIM_LIMIT: usize = 8;

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum AnswerError {
    /// The connection failed, or its time was over.
    Io(io::Error),
    /// It ended before the answer did.
    Ended,
    /// The body is larger than the cap.
    TooLarge,
    /// It is no HTTP/1.1.
    Malformed,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes.
    Length(usize),
    /// In chunks, the last of which is empty.
    Chunked,
    /// Up to the end of the connection.
    ToTheEnd,
}

/// A parsed head.
struct Head {
    length: usize,
    status: u16,
    content_type: String,
    location: Option<String>,
    date: Option<UnixMillis>,
    retry_after: Option<String>,
    framing: Framing,
}

/// Room for one answer.
pub(super) struct AnswerBuffer {
    /// What came; wiped in the end.
    raw: Zeroizing<Vec<u8>>,
    /// How much of it is filled.
    filled: usize,
    /// The body to be; wiped where it is dropped.
    body: Zeroizing<Vec<u8>>,
    /// Largest body.
    limit: usize,
}

impl AnswerBuffer {
    /// Takes the room for an answer of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            // Chunks of one byte each take six on the wire; such an answer is cut a little sooner.
            raw: Zeroizing::new(vec![0; HEAD_LIMIT + 2 * limit]),
            filled: 0,
            body: Zeroizing::new(Vec::with_capacity(limit)),
            limit,
        }
    }

    /// Reads an answer to its end, as it comes from `stream`. Gives no memory back: that is a call
    /// to the system.
    pub(super) fn read(
        &mut self,
        stream: &mut impl Read,
        clock: fn() -> UnixMillis,
    ) -> Result<Response, AnswerError> {
        let head = self.read_final_head(stream)?;
        let has_no_body = matches!(head.status, 204 | 304);
        let framing = if has_no_body { Framing::Length(0) } else { head.framing };
        if let Framing::Length(length) = framing
            && length > self.limit
        {
            return Err(AnswerError::TooLarge);
        }
        while !self.take_body(head.length, framing)? {
            if !self.fill(stream)? {
                if framing == Framing::ToTheEnd {
                    let rest = &self.raw[head.length..self.filled];
                    if rest.len() > self.limit {
                        return Err(AnswerError::TooLarge);
                    }
                    self.body.extend_from_slice(rest);
                    break;
                }
                return Err(AnswerError::Ended);
            }
        }
        let received_at = clock();
        Ok(Response {
            status: head.status,
            content_type: head.content_type,
            location: head.location,
            received_at,
            date: head.date,
            retry_after: head
                .retry_after
                .and_then(|text| parse_retry_after(&text, head.date.unwrap_or(received_at))),
            body: std::mem::take(&mut self.body),
        })
    }

    /// Reads the head of a tunnel's answer (RFC 9110 section 9.3.6): its status, when nothing
    /// follows it.
    pub(super) fn read_tunnel_status(
        &mut self,
        stream: &mut impl Read,
    ) -> Result<u16, AnswerError> {
        let head = self.read_final_head(stream)?;
        let is_open = (200..300).contains(&head.status);
        if is_open && self.filled > head.length {
            return Err(AnswerError::Malformed);
        }
        Ok(head.status)
    }

    /// Reads heads until one is not interim (RFC 9110 section 15.2).
    fn read_final_head(&mut self, stream: &mut impl Read) -> Result<Head, AnswerError> {
        for _ in 0..=INTERIM_LIMIT {
            let head = loop {
                let start = self.filled.min(HEAD_LIMIT);
                if let Some(head) = parse_head(&self.raw[..start])? {
                    break head;
                }
                if start == HEAD_LIMIT {
                    return Err(AnswerError::Malformed);
                }
                if !self.fill(stream)? {
                    return Err(AnswerError::Ended);
                }
            };
            if !(100..200).contains(&head.status) {
                return Ok(head);
            }
            self.raw.copy_within(head.length..self.filled, 0);
            self.filled -= head.length;
        }
        Err(AnswerError::Malformed)
    }

    /// Reads once. `false` when the connection has ended.
    fn fill(&mut self, stream: &mut impl Read) -> Result<bool, AnswerError> {
        let room = &mut self.raw[self.filled..];
        if room.is_empty() {
            return Err(AnswerError::TooLarge);
        }
        let count = stream.read(room).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => AnswerError::Ended,
            _ => AnswerError::Io(error),
        })?;
        self.filled += count;
        Ok(count > 0)
    }

    /// Takes the body over once all of it is there.
    fn take_body(&mut self, start: usize, framing: Framing) -> Result<bool, AnswerError> {
        let there = &self.raw[start..self.filled];
        match framing {
            Framing::Length(length) => {
                let whole = there.get(..length);
                self.body.extend_from_slice(whole.unwrap_or_default());
                Ok(whole.is_some())
            }
            Framing::Chunked => {
                // From the first chunk each time: answers of this kind come in one or two reads.
                self.body.clear();
                join_chunks(there, &mut self.body, self.limit)
            }
            Framing::ToTheEnd => Ok(false),
        }
    }
}

/// Reads a head; `None` while it is not whole.
fn parse_head(raw: &[u8]) -> Result<Option<Head>, AnswerError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut parsed = httparse::Response::new(&mut fields);
    let length = match parsed.parse(raw) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(AnswerError::Malformed),
    };
    let values = |name: &'static str| {
        parsed
            .headers
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.trim_ascii())
    };
    let first =
        |name| values(name).next().map(|value| text::clean(&String::from_utf8_lossy(value)));
    let content_type = first("content-type").unwrap_or_default().to_ascii_lowercase();
    Ok(Some(Head {
        length,
        status: parsed.code.ok_or(AnswerError::Malformed)?,
        content_type: content_type.split(';').next().unwrap_or_default().trim().to_owned(),
        location: first("location"),
        date: first("date").and_then(|text| parse_date(&text)),
        retry_after: first("retry-after"),
        framing: framing(values("transfer-encoding"), values("content-length"))?,
    }))
}

/// RFC 9112 section 6.3.
fn framing<'a>(
    mut codings: impl Iterator<Item = &'a [u8]>,
    lengths: impl Iterator<Item = &'a [u8]>,
) -> Result<Framing, AnswerError> {
    if let Some(coding) = codings.next() {
        // Nothing else was asked for.
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        return if is_chunked { Ok(Framing::Chunked) } else { Err(AnswerError::Malformed) };
    }
    let mut agreed = None;
    for value in lengths.flat_map(|value| value.split(|byte| *byte == b',')) {
        let digits = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let length = is_number.then(|| digits.parse().unwrap_or(usize::MAX));
        if length.is_none() || agreed.is_some_and(|other| Some(other) != length) {
            return Err(AnswerError::Malformed);
        }
        agreed = length;
    }
    Ok(agreed.map_or(Framing::ToTheEnd, Framing::Length))
}

/// Joins the chunks of a body (RFC 9112 section 7.1). `false` while the last is not there.
fn join_chunks(mut raw: &[u8], body: &mut Vec<u8>, limit: usize) -> Result<bool, AnswerError> {
    loop {
        let (begin, size) = match httparse::parse_chunk_size(raw) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(AnswerError::Malformed),
        };
        let rest = &raw[begin..];
        if size == 0 {
            // Trailer fields may stand before the empty line that ends the answer.
            let ended =
                rest.starts_with(b"\r\n") || rest.windows(4).any(|four| four == b"\r\n\r\n");
            return Ok(ended);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > limit - body.len() {
            return Err(AnswerError::TooLarge);
        }
        let Some(chunk) = rest.get(..size) else { return Ok(false) };
        match rest.get(size..size + 2) {
            None => return Ok(false),
            Some(b"\r\n") => {}
            Some(_) => return Err(AnswerError::Malformed),
        }
        body.extend_from_slice(chunk);
        raw = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A connection that gives these pieces, one for each read, and then ends.
    struct Pieces<'a>(Vec<&'a [u8]>);

    impl Read for Pieces<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.first_mut() else { return Ok(0) };
            let count = piece.len().min(room.len());
            room[..count].copy_from_slice(&piece[..count]);
            *piece = &piece[count..];
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(count)
        }
    }

    const LIMIT: usize = 64;
    const NOW: UnixMillis = UnixMillis(784_111_000_000);

    fn read(answer: &[u8]) -> Result<Response, AnswerError> {
        AnswerBuffer::new(LIMIT).read(&mut Pieces(vec![answer]), || NOW)
    }

    #[test]
    fn answers_of_every_framing_are_read_to_their_end() {
        let table: [(&str, u16, &str); 9] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more", 200, "{}"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n{}", 200, "{}"),
            ("HTTP/1.0 400 Bad\r\n\r\nto the end", 400, "to the end"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n",
                200,
                "abcd",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nX: y\r\n\r\n", 200, ""),
            ("HTTP/1.1 204 None\r\n\r\n", 204, ""),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                200,
                "x",
            ),
            ("HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 503, ""),
        ];
        for (answer, status, body) in table {
            let response =
                read(answer.as_bytes()).unwrap_or_else(|error| panic!("{answer}: {error:?}"));
            assert_eq!((response.status, response.body.as_slice()), (status, body.as_bytes()));
            // One byte at a time is the same.
            let pieces = answer.as_bytes().chunks(1).collect();
            let response = AnswerBuffer::new(LIMIT).read(&mut Pieces(pieces), || NOW).unwrap();
            assert_eq!((response.status, response.body.as_slice()), (status, body.as_bytes()));
        }
    }

    #[test]
    fn what_is_cut_too_large_or_no_http_is_told_apart() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_LIMIT));
        let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(LIMIT + 1));
        let table: [(&str, &str); 15] = [
            ("", "Ended"),
            ("HTTP/1.1 200 OK\r\n", "Ended"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "Ended"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "Ended"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "Ended"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n", "TooLarge"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "TooLarge"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", "TooLarge"),
            (&endless, "TooLarge"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "Malformed"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Malformed"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "Malformed"),
            (&long, "Malformed"),
            (&flood, "Malformed"),
        ];
        for (answer, expected) in table {
            let error = read(answer.as_bytes()).unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{answer:.60}: {error:?}");
        }
    }

    #[test]
    fn header_values_are_cleaned_and_the_type_stands_alone() {
        let answer = b"HTTP/1.1 302 Found\r\nContent-Type: Text/HTML; charset=UTF-8\r\n\
                       Location: https://x/\x9b2J\r\nContent-Length: 0\r\n\r\n";
        let response = read(answer).unwrap();
        assert_eq!(response.content_type, "text/html");
        assert!(!response.location.unwrap().contains('\u{9b}'));
    }

    #[test]
    fn times_are_read_by_the_server_s_clock_and_by_ours_without() {
        let answer = b"HTTP/1.1 429 Busy\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                       Retry-After: Sun, 06 Nov 1994 08:51:37 GMT\r\nContent-Length: 0\r\n\r\n";
        let response = read(answer).unwrap();
        assert_eq!((response.received_at, response.date), (NOW, Some(UnixMillis(784_111_777_000))));
        assert_eq!(response.retry_after, Some(std::time::Duration::from_secs(120)));
        let answer =
            b"HTTP/1.1 429 Busy\r\nDate: soon\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
        let response = read(answer).unwrap();
        assert_eq!(
            (response.date, response.retry_after),
            (None, Some(std::time::Duration::from_secs(7)))
        );
    }

    #[test]
    fn a_tunnel_is_open_only_when_nothing_follows_its_head() {
        let open =
            |answer: &[u8]| AnswerBuffer::new(LIMIT).read_tunnel_status(&mut Pieces(vec![answer]));
        assert_eq!(open(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap(), 200);
        assert_eq!(open(b"HTTP/1.1 407 Who\r\nContent-Length: 2\r\n\r\nno").unwrap(), 407);
        assert!(open(b"HTTP/1.1 200 OK\r\n\r\nsmuggled").is_err());
    }

    proptest! {
        /// Whatever comes, in whatever pieces: an end, and never more than the cap.
        #[test]
        fn any_bytes_come_to_an_end(
            head in prop_oneof![
                Just(""),
                Just("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                Just("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"),
            ],
            rest in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'3')], 0..400),
            size in 1_usize..50,
        ) {
            let answer = [head.as_bytes(), &rest].concat();
            let whole = read(&answer).map(|response| response.body.to_vec());
            let pieces = answer.chunks(size).collect();
            let cut = AnswerBuffer::new(LIMIT).read(&mut Pieces(pieces), || NOW).map(|response| response.body.to_vec());
            prop_assert!(whole.as_ref().is_ok_and(|body| body.len() <= LIMIT) || whole.is_err());
            if let (Ok(whole), Ok(cut)) = (&whole, &cut) {
                prop_assert_eq!(whole, cut);
            }
        }
    }
}
