//! How an archive is compressed. Which it was, is told by its first bytes when it is read, never by its name.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};

use flate2::{Compression as Level, read::MultiGzDecoder, write::GzEncoder};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A window of 8 MiB: what is written here needs 2 MiB, and more would let whoever made a file choose our memory.
const MOST_WINDOW: u32 = 23;
/// Below the speed of a disk, above what a fast network takes.
const ZSTD_LEVEL: i32 = 3;
const BUFFER: usize = 1 << 18;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// `.tar.gz`.
    #[default]
    Gzip,
    /// `.tar.zst`.
    Zstd,
    /// `.tar`.
    None,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::None];

    /// Of the file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "tar.gz",
            Self::Zstd => "tar.zst",
            Self::None => "tar",
        }
    }
}

/// The first bytes of a stream, and the stream with them.
pub(super) fn peek<'a>(mut reader: impl Read + 'a, count: u64) -> io::Result<(Vec<u8>, impl Read + 'a)> {
    let mut head = vec![];
    reader.by_ref().take(count).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

/// What is in a stream, whichever way it is compressed. What follows behind its end is an error.
pub(super) fn decode<'a>(reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let (head, reader) = peek(reader, 4)?;
    if head.starts_with(&GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, reader))));
    }
    if head.starts_with(&ZSTD) {
        let buffered = BufReader::with_capacity(BUFFER, reader);
        let mut decoder = zstd::Decoder::with_buffer(buffered)?.single_frame();
        decoder.window_log_max(MOST_WINDOW)?;
        return Ok(Box::new(OneFrame(decoder)));
    }
    Ok(Box::new(reader))
}

/// More frames would be read by every zstd, but none of them has to have a sum.
struct OneFrame<R: BufRead>(zstd::Decoder<'static, R>);

impl<R: BufRead> Read for OneFrame<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        if read == 0 && !buffer.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            return Err(io::Error::other("something follows behind its end"));
        }
        Ok(read)
    }
}

/// Compresses.
pub(super) enum Encoder<W: Write> {
    Gzip(GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
    None(W),
}

impl<W: Write> Encoder<W> {
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(GzEncoder::new(out, Level::fast())),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
                // gzip has one in any case.
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            Compression::None => Self::None(out),
        })
    }

    /// Writes the end, and gives back what is below.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::None(out) => Ok(out),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::None(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
            Self::None(out) => out.flush(),
        }
    }
}
