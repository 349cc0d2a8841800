//! gzip of bodies, on threads that may block: it takes milliseconds.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// About how far documents are compressed at least, so that the result has room without growing.
const RATIO: usize = 4;

/// The bytes compressed; none if that can't be done, for which there is no known reason.
pub(super) async fn gzip(bytes: Bytes) -> Option<Bytes> {
    let compressed = tokio::task::spawn_blocking(move || {
        let out = Vec::with_capacity(bytes.len() / RATIO);
        let mut encoder = GzEncoder::new(out, Compression::fast());
        encoder.write_all(&bytes)?;
        encoder.finish()
    });
    compressed.await.ok()?.ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[tokio::test]
    async fn what_was_compressed_is_what_comes_out() {
        let text = Bytes::from("{\"create\":{}}\n{\"a\":1}\n".repeat(1000));
        let compressed = gzip(text.clone()).await.unwrap();
        assert!(compressed.len() < text.len() / 20);
        let mut out = Vec::new();
        GzDecoder::new(&compressed[..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, text);
    }
}
