//! Looking at 32 bytes at once: where a string stops, and whether the text goes on as it did last time.
//!
//! With `unsafe`, as only `strings` has besides: loads of vector registers from arrays that are exactly as long as the
//! register. Everything takes plain slices and never reads beyond them, so a caller can't make it unsound; the reader's
//! window pads its text ([`PAD_BYTES`]) only so that the wide path is always the one taken.
#![allow(unsafe_code, clippy::cast_ptr_alignment)] // unaligned vector loads: 1.09 × on columns against the words below

/// How many bytes of any value must lie behind the text that is walked, so that wide loads stay within the slice.
pub(super) const PAD_BYTES: usize = 64;

/// How many bytes are looked at together. Most strings end within them, so that the loop over longer ones is rarely
/// mispredicted: 1.05 × faster than 16.
pub(super) const CHUNK_BYTES: usize = 32;

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
pub(super) fn chunk<const N: usize>(text: &[u8], at: usize) -> Option<&[u8; N]> {
    text.get(at..)?.first_chunk()
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
pub(super) fn first_stop(chunk: &[u8; CHUNK_BYTES]) -> usize {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    let start = chunk.as_ptr().cast::<__m128i>();
    let stops = |half: usize| {
        // SAFETY: SSE2 is part of x86-64, and the unaligned loads of halves 0 and 1 read the 32 bytes that the array has.
        let mask = unsafe {
            let bytes = _mm_loadu_si128(start.add(half));
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let escape = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, escape), control))
        };
        mask as u32
    };
    (stops(0) | stops(1) << 16).trailing_zeros() as usize
}

/// The place in the chunk of the first byte that can't stand for itself in a string; its length if there is none.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(super) fn first_stop(chunk: &[u8; CHUNK_BYTES]) -> usize {
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
pub(super) fn first_stop(chunk: &[u8; CHUNK_BYTES]) -> usize {
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

/// Whether the first `length` bytes (at most 32) of the two are the same.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn same(left: &[u8; 32], right: &[u8; 32], length: u32) -> bool {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8};
    // SAFETY: SSE2 is part of x86-64, and each load reads 16 of the 32 bytes that the arrays have.
    let equal = unsafe {
        let (left, right) = (left.as_ptr().cast::<__m128i>(), right.as_ptr().cast::<__m128i>());
        let low = _mm_cmpeq_epi8(_mm_loadu_si128(left), _mm_loadu_si128(right));
        let high = _mm_cmpeq_epi8(_mm_loadu_si128(left.add(1)), _mm_loadu_si128(right.add(1)));
        (_mm_movemask_epi8(low) as u32) | ((_mm_movemask_epi8(high) as u32) << 16)
    };
    (!equal).trailing_zeros() >= length
}

/// Whether the first `length` bytes (at most 32) of the two are the same.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn same(left: &[u8; 32], right: &[u8; 32], length: u32) -> bool {
    same_in_words(left, right, length)
}

/// [`same`] for machines without a cheap mask of a comparison, and what that one is tested against.
#[cfg_attr(target_arch = "x86_64", allow(dead_code))]
fn same_in_words(left: &[u8; 32], right: &[u8; 32], length: u32) -> bool {
    let ((left, _), (right, _)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    let mut same_bytes = 0;
    for (left, right) in left.iter().zip(right) {
        let difference = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        same_bytes += difference.trailing_zeros() / 8;
        if difference != 0 {
            break;
        }
    }
    same_bytes >= length
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
    fn the_same_bytes_are_told_from_others_at_every_length() {
        let left: Box<[u8; 32]> = Box::new(std::array::from_fn(|index| index as u8));
        for difference in 0..33 {
            let mut right = left.clone();
            if difference < 32 {
                right[difference] ^= 0x80;
            }
            for length in 0..=32 {
                let expected = difference >= length as usize;
                assert_eq!(same(&left, &right, length), expected);
                assert_eq!(same_in_words(&left, &right, length), expected);
            }
        }
    }
}
