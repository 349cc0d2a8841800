//! Looking at 16 or 32 bytes at once: where a string stops, which of them are digits, and whether the text goes on as it did
//! last time.
//!
//! With `unsafe`, as only `strings` has besides: arrays within a slice, once it is known to be long enough, and loads of vector
//! registers from arrays that are exactly as long as the register. Everything takes plain slices and never reads beyond them, so a caller can't make it unsound; the reader's
//! window pads its text ([`PAD_BYTES`]) only so that the wide path is always the one taken.
#![allow(unsafe_code, clippy::cast_ptr_alignment)] // unaligned vector loads: 1.09 × on columns against the words below

/// How many bytes of any value must lie behind the text that is walked, so that wide loads stay within the slice.
pub(super) const PAD_BYTES: usize = 64;

/// How many bytes are looked at together. Most strings end within them, so that the loop over longer ones is rarely
/// mispredicted: 1.05 × faster than 16.
pub(crate) const CHUNK_BYTES: usize = 32;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The place of the first `"`, `\` or control character (below 0x20) at or after `from`; the slice's end if there is
/// none. A newline is a control character, so that a string without its end can't swallow the next line.
#[inline]
pub(crate) fn string_stop(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = chunk(text, at) {
        let stop = first_stop(chunk);
        if stop < CHUNK_BYTES {
            return at + stop;
        }
        // Not `stop`: the processor need not wait for it to go on.
        at += CHUNK_BYTES;
    }
    while at < text.len() && !stops_string(text[at]) {
        at += 1;
    }
    at
}

/// `N` bytes of the text at a place, if it is long enough.
#[inline]
pub(crate) fn chunk<const N: usize>(text: &[u8], at: usize) -> Option<&[u8; N]> {
    // Not by `get` and `first_chunk`: one comparison, and not three, for every key and value (1.03 × on columns).
    (at < text.len().saturating_sub(N - 1)).then(|| {
        // SAFETY: at + N - 1 < text.len(), so that the array lies within the slice; its bytes need no alignment.
        unsafe { &*text.as_ptr().add(at).cast::<[u8; N]>() }
    })
}

/// Whether a byte can't stand for itself in a string.
#[inline]
pub(super) fn stops_string(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// How many of these eight bytes (the first in the lowest bits), from the first on, are ASCII digits.
#[inline]
pub(super) fn leading_digits(word: u64) -> usize {
    let offsets = word ^ (ONES * u64::from(b'0'));
    // A carry out of a byte can only spoil bytes above one that is no digit itself.
    let others = (offsets.wrapping_add(ONES * 0x76) | offsets) & HIGHS;
    (others.trailing_zeros() / 8) as usize
}

/// The place in the chunk of the first byte that can't stand for itself in a string; its length if there is none.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn first_stop(chunk: &[u8; CHUNK_BYTES]) -> usize {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        _mm_xor_si128,
    };
    let start = chunk.as_ptr().cast::<__m128i>();
    let stops = |half: usize| {
        // SAFETY: SSE2 is part of x86-64, and the unaligned loads of halves 0 and 1 read the 32 bytes that the array has.
        let mask = unsafe {
            let bytes = _mm_loadu_si128(start.add(half));
            let escape = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            // With this bit flipped, the quote and the control characters are the 33 lowest.
            let flipped = _mm_xor_si128(bytes, _mm_set1_epi8(2));
            let low = _mm_cmpeq_epi8(_mm_min_epu8(flipped, _mm_set1_epi8(0x20)), flipped);
            _mm_movemask_epi8(_mm_or_si128(escape, low))
        };
        mask as u32
    };
    (stops(0) | stops(1) << 16).trailing_zeros() as usize
}

/// The place in the chunk of the first byte that can't stand for itself in a string; its length if there is none.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(crate) fn first_stop(chunk: &[u8; CHUNK_BYTES]) -> usize {
    use std::arch::aarch64::{
        vceqq_u8, vcltq_u8, vdupq_n_u8, vget_lane_u64, vld1q_u8, vorrq_u8, vreinterpret_u64_u8, vreinterpretq_u16_u8,
        vshrn_n_u16,
    };
    let start = chunk.as_ptr();
    let stops = |half: usize| {
        // SAFETY: NEON is part of aarch64, and the loads of halves 0 and 1 read the 32 bytes that the array has.
        let nibbles = unsafe {
            let bytes = vld1q_u8(start.add(16 * half));
            let quote = vceqq_u8(bytes, vdupq_n_u8(b'"'));
            let escape = vceqq_u8(bytes, vdupq_n_u8(b'\\'));
            let control = vcltq_u8(bytes, vdupq_n_u8(0x20));
            let stops = vorrq_u8(vorrq_u8(quote, escape), control);
            // Four bits for each byte: NEON has no movemask.
            vget_lane_u64::<0>(vreinterpret_u64_u8(vshrn_n_u16::<4>(vreinterpretq_u16_u8(stops))))
        };
        u128::from(nibbles)
    };
    ((stops(0) | stops(1) << 64).trailing_zeros() / 4) as usize
}

/// The place in the chunk of the first byte that can't stand for itself in a string; its length if there is none.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
pub(crate) fn first_stop(chunk: &[u8; CHUNK_BYTES]) -> usize {
    first_stop_in_words(chunk)
}

/// [`first_stop`] for machines without vector registers that we know of, and what the others are tested against.
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]
fn first_stop_in_words(chunk: &[u8; CHUNK_BYTES]) -> usize {
    let (words, _) = chunk.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let escape = word ^ (ONES * u64::from(b'\\'));
        // A borrow can only spoil bytes above one that stops already.
        let zero_or_below = (quote.wrapping_sub(ONES) & !quote)
            | (escape.wrapping_sub(ONES) & !escape)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let stops = zero_or_below & HIGHS;
        if stops != 0 {
            return index * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    CHUNK_BYTES
}

/// How many bytes a [`Head`] has.
pub(super) const HEAD_BYTES: usize = 32;

/// The first bytes of a text that others are compared with.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Zero behind the text's end.
    bytes: [u8; HEAD_BYTES],
    /// 0xff where the text has a byte.
    mask: [u8; HEAD_BYTES],
}

impl Head {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut head = Self::default();
        let length = text.len().min(HEAD_BYTES);
        head.bytes[..length].copy_from_slice(&text[..length]);
        head.mask[..length].fill(0xff);
        head
    }

    /// Whether a text begins like this.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn begins(&self, text: &[u8; HEAD_BYTES]) -> bool {
        use std::arch::x86_64::{__m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8};
        let start = |bytes: &[u8; HEAD_BYTES]| bytes.as_ptr().cast::<__m128i>();
        // SAFETY: SSE2 is part of x86-64, and the unaligned loads of halves 0 and 1 read the 32 bytes that the arrays have.
        let equal = unsafe {
            let half = |half: usize| {
                let of = |bytes: &[u8; HEAD_BYTES]| _mm_loadu_si128(start(bytes).add(half));
                _mm_cmpeq_epi8(_mm_and_si128(of(text), of(&self.mask)), of(&self.bytes))
            };
            _mm_movemask_epi8(_mm_and_si128(half(0), half(1)))
        };
        equal == 0xffff
    }

    /// Whether a text begins like this.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    pub(super) fn begins(&self, text: &[u8; HEAD_BYTES]) -> bool {
        self.begins_in_words(text)
    }

    /// [`Self::begins`] for machines without a cheap mask of a comparison, and what that one is tested against.
    #[cfg_attr(target_arch = "x86_64", allow(dead_code))]
    #[inline]
    fn begins_in_words(&self, text: &[u8; HEAD_BYTES]) -> bool {
        let words = |bytes: &[u8; HEAD_BYTES]| -> [u64; HEAD_BYTES / 8] {
            let (words, _) = bytes.as_chunks::<8>();
            std::array::from_fn(|index| u64::from_le_bytes(words[index]))
        };
        let (text, bytes, mask) = (words(text), words(&self.bytes), words(&self.mask));
        (0..HEAD_BYTES / 8).fold(0, |differences, index| {
            differences | ((text[index] & mask[index]) ^ bytes[index])
        }) == 0
    }
}

/// Which of these bytes are no ASCII digits, the first in the lowest bit.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn non_digits(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8, _mm_sub_epi8,
    };
    // SAFETY: SSE2 is part of x86-64, and the unaligned load reads the 16 bytes that the array has.
    let digits = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let values = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
        _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values))
    };
    digits as u32 ^ 0xffff
}

/// Which of these bytes are no ASCII digits, the first in the lowest bit.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn non_digits(chunk: &[u8; 16]) -> u32 {
    non_digits_in_words(chunk)
}

/// [`non_digits`] for machines without a cheap mask of a comparison, and what that one is tested against.
#[cfg_attr(target_arch = "x86_64", allow(dead_code))]
#[inline]
fn non_digits_in_words(chunk: &[u8; 16]) -> u32 {
    let (words, _) = chunk.as_chunks::<8>();
    let others = |word: [u8; 8]| {
        let values = u64::from_le_bytes(word) ^ (ONES * u64::from(b'0'));
        let others = (((values & !HIGHS) + ONES * 0x76) | values) & HIGHS;
        // Each byte's bit, gathered in the highest byte.
        ((others >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    };
    others(words[0]) | others(words[1]) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive_stop(text: &[u8], from: usize) -> usize {
        (from..text.len())
            .find(|at| stops_string(text[*at]))
            .unwrap_or(text.len())
    }

    #[test]
    fn every_byte_at_every_place_stops_a_string_or_does_not() {
        for byte in 0..=255u8 {
            for place in 0..CHUNK_BYTES {
                for filler in [b'a', 0xff, 0x80, 0x20, 0x21, 0x5b, 0x7f] {
                    // On the heap and no longer than it must be, so that valgrind or a sanitizer would see a wider load.
                    let mut chunk = Box::new([filler; CHUNK_BYTES]);
                    chunk[place] = byte;
                    let expected = naive_stop(&*chunk, 0);
                    assert_eq!(first_stop(&chunk), expected, "{byte} at {place} in {filler}");
                    assert_eq!(
                        first_stop_in_words(&chunk),
                        expected,
                        "{byte} at {place} in {filler}, in words"
                    );
                }
            }
        }
    }

    #[test]
    fn a_chunk_lies_within_the_text_or_there_is_none() {
        for length in 0..70 {
            // No longer than it must be, as above.
            let text: Box<[u8]> = (0..length).collect();
            for at in 0..80 {
                assert_eq!(
                    chunk::<8>(&text, at),
                    text.get(at..).and_then(|rest| rest.first_chunk())
                );
                assert_eq!(
                    chunk::<32>(&text, at),
                    text.get(at..).and_then(|rest| rest.first_chunk())
                );
            }
            assert_eq!(chunk::<32>(&text, usize::MAX), None);
        }
    }

    #[test]
    fn a_string_stops_at_the_first_of_many_at_any_alignment_and_length() {
        let mut text = Vec::new();
        for index in 0..200u32 {
            text.push(match index % 23 {
                0 => b'"',
                7 => b'\\',
                11 => b'\n',
                other => b'a' + other as u8,
            });
            let text = text.clone().into_boxed_slice();
            for from in 0..text.len() {
                assert_eq!(string_stop(&text, from), naive_stop(&text, from));
            }
        }
    }

    #[test]
    fn leading_digits_are_counted_for_every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                for filler in [b'0', b'9', b'5'] {
                    let mut bytes = [filler; 8];
                    bytes[place] = byte;
                    let expected = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(8);
                    assert_eq!(leading_digits(u64::from_le_bytes(bytes)), expected);
                }
            }
        }
    }

    #[test]
    fn a_text_begins_like_a_head_if_all_bytes_of_the_head_are_the_same() {
        let text: Box<[u8; HEAD_BYTES]> = Box::new(std::array::from_fn(|index| index as u8));
        for length in 0..=HEAD_BYTES {
            let head = Head::new(&text[..length]);
            for difference in 0..=HEAD_BYTES {
                let mut other = text.clone();
                if difference < HEAD_BYTES {
                    other[difference] ^= 0x80;
                }
                let expected = difference >= length;
                assert_eq!(head.begins(&other), expected, "{length} bytes, another at {difference}");
                assert_eq!(
                    head.begins_in_words(&other),
                    expected,
                    "{length} bytes, another at {difference}"
                );
            }
        }
    }

    #[test]
    fn digits_are_told_from_every_other_byte_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..16 {
                for filler in [b'0', b'9', b'.', 0x00, 0xff] {
                    let mut chunk = Box::new([filler; 16]);
                    chunk[place] = byte;
                    let expected = (0..16).fold(0, |bits, at| bits | u32::from(!chunk[at].is_ascii_digit()) << at);
                    assert_eq!(non_digits(&chunk), expected, "{byte} at {place} in {filler}");
                    assert_eq!(
                        non_digits_in_words(&chunk),
                        expected,
                        "{byte} at {place} in {filler}, in words"
                    );
                }
            }
        }
    }
}
