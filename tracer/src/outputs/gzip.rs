//! Compression of what is sent: gzip (RFC 1952). The checksum is that of `crc32fast`, which uses the processor's
//! instruction for it; the one that comes with the compressor takes a tenth of a scrape.
#![forbid(unsafe_code)]

use crc32fast::Hasher;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::{self, Write};

/// Deflate; no flags, no time; made fast; by whatever system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// Compresses what is written to it, fast rather than small.
#[derive(Debug)]
pub struct Gzip {
    deflate: DeflateEncoder<Vec<u8>>,
    checksum: Hasher,
    /// Modulo 2^32, as the format has it.
    length: u32,
}

impl Default for Gzip {
    fn default() -> Self {
        let deflate = DeflateEncoder::new(HEAD.to_vec(), Compression::fast());
        Self { deflate, checksum: Hasher::new(), length: 0 }
    }
}

impl Gzip {
    /// All of it, compressed.
    ///
    /// # Errors
    /// None that a writer to memory has.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        let mut bytes = self.deflate.finish()?;
        bytes.extend(self.checksum.finalize().to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        Ok(bytes)
    }
}

impl Write for Gzip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.deflate.write(bytes)?;
        self.checksum.update(&bytes[..written]);
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
        let more = written as u32;
        self.length = self.length.wrapping_add(more);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.deflate.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read as _;

    proptest! {
        #[test]
        fn what_is_unpacked_is_what_was_packed(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9_000), 0..9)) {
            let mut gzip = Gzip::default();
            parts.iter().for_each(|part| gzip.write_all(part).unwrap());
            let mut unpacked = Vec::new();
            // It checks length and checksum.
            GzDecoder::new(&gzip.finish().unwrap()[..]).read_to_end(&mut unpacked).unwrap();
            prop_assert_eq!(unpacked, parts.concat());
        }
    }
}
