//! Frames of the socket: a length of four bytes, most significant first, and that much JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

/// Longest frame, in bytes, without its length.
pub(crate) const LIMIT: usize = 64 * 1024;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The other side has gone, between frames or within one.
    #[error("the connection has ended")]
    Ended,
    /// It is longer than any may be.
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    /// It is not what is spoken here.
    #[error("a frame that does not read")]
    Malformed,
    /// The socket failed.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

/// A value as one frame, its length included. Wiped when it is dropped, for it may hold a secret.
pub(crate) fn encode(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    bytes.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *bytes, value).map_err(|_| FrameError::Malformed)?;
    let length = bytes.len() - 4;
    if length > LIMIT {
        return Err(FrameError::TooLong(length));
    }
    let length = u32::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// The length that stands before a frame, if one may be that long.
fn length_of(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > LIMIT { Err(FrameError::TooLong(length)) } else { Ok(length) }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(bytes).map_err(|_| FrameError::Malformed)
}

/// Reads one frame.
pub(crate) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, FrameError> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await?;
    let mut bytes = Zeroizing::new(vec![0; length_of(prefix)?]);
    stream.read_exact(&mut bytes).await?;
    decode(&bytes)
}

/// Reads one frame, where there is no runtime.
pub(crate) fn read_blocking<T: DeserializeOwned>(stream: &mut impl Read) -> Result<T, FrameError> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut bytes = Zeroizing::new(vec![0; length_of(prefix)?]);
    stream.read_exact(&mut bytes)?;
    decode(&bytes)
}

/// Writes one frame, where there is no runtime.
pub(crate) fn write_blocking(
    stream: &mut impl Write,
    value: &impl Serialize,
) -> Result<(), FrameError> {
    Ok(stream.write_all(&encode(value)?)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn a_frame_reads_back_with_and_without_a_runtime() {
        let value = json!({ "a": ["b", 1], "c": "\u{1b}\n" });
        let bytes = encode(&value).unwrap();
        assert_eq!(read_blocking::<Value>(&mut &bytes[..]).unwrap(), value);
        assert_eq!(read::<Value>(&mut &bytes[..]).await.unwrap(), value);
        let mut written = Vec::new();
        write_blocking(&mut written, &value).unwrap();
        assert_eq!(written, *bytes);
    }

    #[test]
    fn what_is_too_long_is_refused_before_any_memory_is_taken() {
        assert!(matches!(encode(&"x".repeat(LIMIT)), Err(FrameError::TooLong(_))));
        let claims = [0xff, 0xff, 0xff, 0xff];
        assert!(matches!(read_blocking::<Value>(&mut &claims[..]), Err(FrameError::TooLong(_))));
        assert!(matches!(read_blocking::<Value>(&mut &[0, 0][..]), Err(FrameError::Ended)));
        assert!(matches!(
            read_blocking::<Value>(&mut &[0, 0, 0, 9, b'{'][..]),
            Err(FrameError::Ended)
        ));
        assert!(matches!(
            read_blocking::<Value>(&mut &[0, 0, 0, 1, b'{'][..]),
            Err(FrameError::Malformed)
        ));
    }

    proptest! {
        /// Whatever is sent, it is a value or an error.
        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_blocking::<Value>(&mut &bytes[..]);
        }

        #[test]
        fn any_text_travels(text in ".{0,200}") {
            let bytes = encode(&text).unwrap();
            prop_assert_eq!(read_blocking::<String>(&mut &bytes[..]).unwrap(), text);
        }
    }
}
