//! How an archive is compressed. Which it was, is told by its first bytes when it is read, never by its name.
//!
//! Compressed bytes can change and still mean the same: another copy of the same text, a flag that nobody reads. So behind them
//! comes their own sum, in a form that every program skips: an empty member of gzip, or a frame of zstd that is none.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};

use flate2::bufread::GzDecoder;

use super::{
    deflate::{Member, Pressed},
    layout::Layout,
};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Of the empty member: it has an extra field, of the name RK and four bytes.
const GZIP_SUM: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'R', b'K', 4, 0];
/// No text, and the sum and the length of none.
const GZIP_NOTHING: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Of the frame that is skipped: its kind, and its four bytes.
const ZSTD_SUM: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0];
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
pub(super) fn decode<'a>(reader: impl Read + 'a, layout: &Layout) -> io::Result<Box<dyn Read + 'a>> {
    let (head, reader) = peek(reader, ZSTD.len() as u64)?;
    let layout = layout.clone();
    if head.starts_with(&GZIP) {
        let decoder = GzDecoder::new(Tail::behind(reader, gzip_sum(0).len()));
        let rest = |decoder: &mut GzDecoder<_>| end(decoder.get_mut(), gzip_sum);
        return Ok(Box::new(Alone { decoder, rest, layout, ended: false }));
    }
    if head.starts_with(&ZSTD) {
        let tail = Tail::behind(reader, zstd_sum(0).len());
        let mut decoder = zstd::Decoder::with_buffer(tail)?.single_frame();
        decoder.window_log_max(MOST_WINDOW)?;
        let rest = |decoder: &mut zstd::Decoder<'static, _>| end(decoder.get_mut(), zstd_sum);
        return Ok(Box::new(Alone { decoder, rest, layout, ended: false }));
    }
    Ok(Box::new(BufReader::with_capacity(BUFFER, reader)))
}

fn gzip_sum(sum: u32) -> Vec<u8> {
    [&GZIP_SUM[..], &sum.to_le_bytes(), &GZIP_NOTHING].concat()
}

fn zstd_sum(sum: u32) -> Vec<u8> {
    [&ZSTD_SUM[..], &sum.to_le_bytes()].concat()
}

/// CRC-32C of all that is read but its last bytes, which are kept.
struct Tail<R> {
    from: R,
    sum: u32,
    last: Vec<u8>,
    keep: usize,
}

impl<R: Read> Tail<R> {
    fn behind(from: R, keep: usize) -> BufReader<Self> {
        BufReader::with_capacity(BUFFER, Self { from, sum: 0, last: vec![], keep })
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let bytes = &buffer[..read];
        let beyond = (self.last.len() + read).saturating_sub(self.keep);
        let (from_last, from_new) = (beyond.min(self.last.len()), beyond.saturating_sub(self.last.len()));
        self.sum = crc32c::crc32c_append(self.sum, &self.last[..from_last]);
        self.sum = crc32c::crc32c_append(self.sum, &bytes[..from_new]);
        self.last.drain(..from_last);
        self.last.extend_from_slice(&bytes[from_new..]);
        Ok(read)
    }
}

/// Reads what follows a compressed stream, which is its sum. What is odd about it.
fn end<R: Read>(tail: &mut BufReader<Tail<R>>, sum: fn(u32) -> Vec<u8>) -> io::Result<Option<&'static str>> {
    let mut behind = 0;
    loop {
        let bytes = tail.fill_buf()?.len();
        if bytes == 0 {
            break;
        }
        behind += bytes;
        tail.consume(bytes);
    }
    let tail = tail.get_ref();
    Ok(match behind {
        0 => {
            Some("its compressed bytes have no sum behind them: they were cut off there, or compressed anew")
        }
        _ if behind != tail.keep => return Err(io::Error::other("something follows behind its end")),
        _ if tail.last != sum(tail.sum) => Some("its compressed bytes do not have the sum behind them"),
        _ => None,
    })
}

/// One gzip member, or one zstd frame, and its sum. Every decoder would read more of them, but none has to be what was written.
struct Alone<D> {
    decoder: D,
    rest: fn(&mut D) -> io::Result<Option<&'static str>>,
    layout: Layout,
    ended: bool,
}

impl<D: Read> Read for Alone<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.decoder.read(buffer)?;
        if read == 0 {
            self.ended = true;
            if let Some(odd) = (self.rest)(&mut self.decoder)? {
                self.layout.note(odd.into());
            }
        }
        Ok(read)
    }
}

/// Compresses.
pub(super) enum Encoder<W: Write> {
    Gzip(Member<Summed<W>>),
    Zstd(zstd::Encoder<'static, Summed<W>>),
    None(W),
}

/// CRC-32C of what is written.
pub(super) struct Summed<W> {
    out: W,
    sum: u32,
}

impl<W> Summed<W> {
    pub fn new(out: W) -> Self {
        Self { out, sum: 0 }
    }

    pub fn sum(&self) -> u32 {
        self.sum
    }
}

impl<W: Write> Summed<W> {
    fn end(mut self, sum: fn(u32) -> Vec<u8>) -> io::Result<W> {
        self.out.write_all(&sum(self.sum))?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum = crc32c::crc32c_append(self.sum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Encoder<W> {
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Member::new(Summed::new(out))?),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Summed::new(out), ZSTD_LEVEL)?;
                // gzip has one in any case.
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            Compression::None => Self::None(out),
        })
    }

    /// Puts in what was compressed before, unless `stopped` says why not.
    ///
    /// # Errors
    /// It is no longer what was written, or this is not gzip.
    pub fn embed(&mut self, pressed: &Pressed, stopped: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Gzip(member) => member.embed(pressed, stopped),
            Self::Zstd(_) | Self::None(_) => Err(io::Error::other("only gzip has parts")),
        }
    }

    /// Writes the end and the sum, and gives back what is below.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Gzip(encoder) => encoder.finish()?.end(gzip_sum),
            Self::Zstd(encoder) => encoder.finish()?.end(zstd_sum),
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
