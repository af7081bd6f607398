//! How an answer leaves: whole, or in one of the ways in which a network or a broken server lets it
//! arrive.

use std::iter;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::simulator::answer::Answer;
use crate::simulator::wire::{Departure, Line, step_of, time_of};

/// Bytes of one piece of filling.
const PIECE: usize = 16 * 1024;
/// Filling: white space, so that a JSON body stays one.
const FILLING: [u8; PIECE] = [b' '; PIECE];

/// How an answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Whole.
    Whole,
    /// Not at all: the connection is reset.
    Reset,
    /// So many bytes of its body, of the announced length; then the connection ends.
    Truncated(usize),
    /// So many bytes of its body, in chunks, without the last one; then the connection ends.
    ChunksCut(usize),
    /// Whole, so many bytes per second, from the status line on.
    Drip(u64),
    /// Whole, so many bytes per second of its body; the headers come at once.
    DripBody(u64),
    /// With white space up to so many bytes, which are announced.
    Huge(u64),
    /// With white space without end, in chunks.
    Endless,
}

/// A part of a body as it is handed to the connection.
enum Part {
    Bytes(Bytes),
    /// The end of the body: once it is written, the answer has left.
    Last(Bytes),
    Wait(Duration),
    Break,
}

/// Makes HTTP of an answer. `departure` is told whether the last byte left.
pub(crate) fn into_response(
    answer: &Answer,
    leaving: Leaving,
    line: &Line,
    departure: Option<Departure>,
) -> Response {
    line.set_pace(if let Leaving::Drip(pace) = leaving { pace } else { 0 });
    let bytes = answer.bytes();
    let length = announced(leaving, bytes.len());
    let body = if length == Some(0) {
        // A body of no bytes is never asked for: the answer has left with its head.
        line.ends_with(departure);
        Body::empty()
    } else {
        body(parts(leaving, bytes), line.clone(), departure)
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let kind = ("Content-Type".to_owned(), answer.content_type.clone());
    for (name, value) in answer.headers.iter().chain([&kind]) {
        if let (Ok(name), Ok(value)) =
            (header::HeaderName::try_from(name), HeaderValue::try_from(value))
        {
            headers.append(name, value);
        }
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// The announced length; none where the body comes in chunks.
fn announced(leaving: Leaving, length: usize) -> Option<u64> {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    match leaving {
        Leaving::ChunksCut(_) | Leaving::Endless => None,
        Leaving::Huge(total) => Some(total.max(length)),
        _ => Some(length),
    }
}

fn parts(leaving: Leaving, mut bytes: Vec<u8>) -> Box<dyn Iterator<Item = Part> + Send> {
    match leaving {
        Leaving::Truncated(kept) | Leaving::ChunksCut(kept) if kept < bytes.len() => {
            bytes.truncate(kept);
            Box::new([Part::Bytes(bytes.into()), Part::Break].into_iter())
        }
        // Whole, and yet never ended.
        Leaving::ChunksCut(_) => Box::new([Part::Bytes(bytes.into()), Part::Break].into_iter()),
        Leaving::DripBody(pace) => drip(bytes.into(), pace),
        Leaving::Huge(total) => {
            let missing = total.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            Box::new(iter::once(Part::Bytes(bytes.into())).chain(filling(missing)))
        }
        Leaving::Endless => {
            let without_end = iter::repeat_with(|| Part::Bytes(Bytes::from_static(&FILLING)));
            Box::new(iter::once(Part::Bytes(bytes.into())).chain(without_end))
        }
        Leaving::Whole | Leaving::Reset | Leaving::Truncated(_) | Leaving::Drip(_) => {
            Box::new(iter::once(Part::Last(bytes.into())))
        }
    }
}

fn drip(bytes: Bytes, pace: u64) -> Box<dyn Iterator<Item = Part> + Send> {
    let step = step_of(pace);
    let count = bytes.len().div_ceil(step).max(1);
    Box::new((0..count).flat_map(move |index| {
        let drop = bytes.slice(index * step..bytes.len().min((index + 1) * step));
        let wait = Part::Wait(time_of(drop.len(), pace));
        let is_last = index + 1 == count;
        [wait, if is_last { Part::Last(drop) } else { Part::Bytes(drop) }]
    }))
}

/// White space of a length, in pieces.
fn filling(length: u64) -> impl Iterator<Item = Part> + Send {
    let piece = u64::try_from(PIECE).unwrap_or(u64::MAX);
    let count = length.div_ceil(piece).max(1);
    (0..count).map(move |index| {
        let left = usize::try_from(length - index * piece).unwrap_or(PIECE).min(PIECE);
        let bytes = Bytes::from_static(&FILLING[..left]);
        if index + 1 == count { Part::Last(bytes) } else { Part::Bytes(bytes) }
    })
}

fn body(
    parts: Box<dyn Iterator<Item = Part> + Send>,
    line: Line,
    departure: Option<Departure>,
) -> Body {
    let stream = futures_util::stream::unfold(
        (parts, line, departure),
        |(mut parts, line, mut departure)| async move {
            loop {
                let bytes = match parts.next()? {
                    Part::Wait(span) => {
                        tokio::time::sleep(span).await;
                        continue;
                    }
                    Part::Break => {
                        // What was written before is flushed while this part is awaited.
                        tokio::task::yield_now().await;
                        let cut = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
                        return Some((Err(cut), (parts, line, departure)));
                    }
                    Part::Bytes(bytes) => bytes,
                    Part::Last(bytes) => {
                        line.ends_with(departure.take());
                        bytes
                    }
                };
                return Some((Ok(bytes), (parts, line, departure)));
            }
        },
    );
    Body::from_stream(stream)
}
