//! A gzip member that is put together of parts which are compressed apart. A full flush ends a part at a byte, and what follows refers
//! to nothing before it (RFC 1951, 3.2.4; zlib's `Z_FULL_FLUSH`): so a part can be compressed while it comes, before it is known what
//! will stand before it.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compress, Compression as Level, Crc, FlushCompress, Status};

use super::format::Summed;

/// No name, no time, the fastest level, no system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
const BUFFER: usize = 128 << 10;

/// Compresses what is written to it.
pub(super) struct Deflater<W> {
    out: W,
    compress: Compress,
    /// Of the text, with its length.
    text: Crc,
    buffer: Box<[u8]>,
}

impl<W: Write> Deflater<W> {
    fn new(out: W) -> Self {
        let compress = Compress::new(Level::fast(), false);
        Self { out, compress, text: Crc::new(), buffer: vec![0; BUFFER].into() }
    }

    /// All of these, and what waits inside where `flush` asks for it.
    fn run(&mut self, mut bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        loop {
            let (read, made) = (self.compress.total_in(), self.compress.total_out());
            let status = self.compress.compress(bytes, &mut self.buffer, flush).map_err(io::Error::other)?;
            let count = |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
            bytes = &bytes[count(self.compress.total_in(), read)..];
            let made = count(self.compress.total_out(), made);
            self.out.write_all(&self.buffer[..made])?;
            // A full buffer may have left something inside.
            if status == Status::StreamEnd || (bytes.is_empty() && made < self.buffer.len()) {
                return Ok(());
            }
        }
    }

    /// Ends a part: others can follow.
    fn end_part(&mut self) -> io::Result<()> {
        self.run(&[], FlushCompress::Full)
    }
}

impl<W: Write> Write for Deflater<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.run(bytes, FlushCompress::None)?;
        self.text.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.run(&[], FlushCompress::Sync)?;
        self.out.flush()
    }
}

/// A gzip member that is written.
pub(super) struct Member<W>(Deflater<W>);

impl<W: Write> Member<W> {
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(Self(Deflater::new(out)))
    }

    /// What was compressed before goes in as it is; `stopped` says whether that is to end.
    pub fn embed(&mut self, pressed: &Pressed, stopped: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let Self(body) = self;
        body.end_part()?;
        let mut file = File::open(&pressed.path)?.take(pressed.bytes);
        let mut sum = 0;
        loop {
            stopped()?;
            let read = file.read(&mut body.buffer)?;
            if read == 0 {
                break;
            }
            sum = crc32c::crc32c_append(sum, &body.buffer[..read]);
            body.out.write_all(&body.buffer[..read])?;
        }
        if file.limit() > 0 || sum != pressed.sum {
            let path = pressed.path.display();
            return Err(io::Error::other(format!("{path} changed on the disk since it was written")));
        }
        body.text.combine(&pressed.text);
        Ok(())
    }

    /// Writes the end, and gives back what is below.
    pub fn finish(self) -> io::Result<W> {
        let Self(mut body) = self;
        body.run(&[], FlushCompress::Finish)?;
        body.out.write_all(&body.text.sum().to_le_bytes())?;
        body.out.write_all(&body.text.amount().to_le_bytes())?;
        Ok(body.out)
    }
}

impl<W: Write> Write for Member<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A file with a part of a gzip member.
pub(super) struct Pressed {
    path: PathBuf,
    /// Bytes of the file, and their CRC-32C.
    bytes: u64,
    sum: u32,
    /// Of what is compressed in it.
    text: Crc,
}

/// Writes one.
pub(super) struct Presser {
    path: PathBuf,
    deflater: Deflater<Summed<File>>,
}

impl Presser {
    pub fn new(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), deflater: Deflater::new(Summed::new(file)) }
    }

    pub fn finish(mut self) -> io::Result<Pressed> {
        self.deflater.end_part()?;
        let Deflater { out, compress, text, .. } = self.deflater;
        Ok(Pressed { path: self.path, bytes: compress.total_out(), sum: out.sum(), text })
    }
}

impl Write for Presser {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.deflater.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.deflater.flush()
    }
}

#[cfg(test)]
pub(super) fn pressed(path: &Path, text: &[u8]) -> Pressed {
    let mut presser = Presser::new(path, File::create_new(path).unwrap());
    text.chunks(32 << 10).for_each(|piece| presser.write_all(piece).unwrap());
    presser.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flate2::bufread::GzDecoder;

    use super::*;

    /// Text that refers far back to itself, and noise.
    fn text(bytes: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        noise
            .zip(b"an object of Kubernetes, ".iter().cycle())
            .enumerate()
            .take(bytes)
            .map(|(at, (noise, text))| if at / 10_000 % 2 == 0 { *text } else { noise })
            .collect()
    }

    /// What `gzip`, which is not of our library, makes of it.
    fn unzipped(bytes: &[u8]) -> Vec<u8> {
        use std::process::{Command, Stdio};
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let output = Command::new("gzip").arg("-dc").stdin(Stdio::from(file)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn parts_that_were_compressed_apart_are_one_member_that_every_program_reads() {
        let dir = tempfile::tempdir().unwrap();
        for (head, part, tail) in
            [(0, 0, 0), (700, 0, 0), (0, 5, 0), (0, 0, 9), (700, 3 << 20, 1024), (BUFFER, BUFFER, BUFFER)]
        {
            let path = dir.path().join("part");
            let _ = fs::remove_file(&path);
            let all = text(head + part + tail);
            let pressed = pressed(&path, &all[head..head + part]);
            let mut member = Member::new(vec![]).unwrap();
            member.write_all(&all[..head]).unwrap();
            member.embed(&pressed, || Ok(())).unwrap();
            member.write_all(&all[head + part..]).unwrap();
            let written = member.finish().unwrap();
            let (mut read, mut rest) = (vec![], written.as_slice());
            // Of one member; what followed would be left.
            GzDecoder::new(&mut rest).read_to_end(&mut read).unwrap();
            assert!(read == all && rest.is_empty(), "{head} {part} {tail}");
            assert!(unzipped(&written) == all, "{head} {part} {tail}: gzip reads something else");
            assert!(written.len() < all.len() * 2 / 3 + 200, "{} of {}", written.len(), all.len());
        }
    }

    #[test]
    fn a_part_that_changed_on_the_disk_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part");
        let pressed = pressed(&path, &text(100_000));
        let good = fs::read(&path).unwrap();
        let embed =
            || Member::new(vec![]).unwrap().embed(&pressed, || Ok(())).map_err(|error| error.to_string());
        embed().unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for bad in [&flipped[..], &good[..good.len() - 1]] {
            fs::write(&path, bad).unwrap();
            assert!(embed().unwrap_err().ends_with("part changed on the disk since it was written"));
        }
        fs::write(&path, &good).unwrap();
        let stopped =
            Member::new(vec![]).unwrap().embed(&pressed, || Err(io::Error::other("stopped by SIGINT")));
        assert_eq!(stopped.unwrap_err().to_string(), "stopped by SIGINT");
    }
}
