//! Columns of numbers. Those of few digits, as most are, are written here without a branch, in the very form that
//! `serde_json` has for them; the rest is written by `serde_json`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::json::Encoder as ValueEncoder;
use serde::Serialize;

/// A column of numbers of a type that JSON has.
pub(super) struct Numbers<'a, N>(pub(super) &'a [N]);

/// A column of fractions of fewer bits than [`Fractions`] has.
pub(super) struct Narrow<'a, N> {
    pub(super) values: &'a [N],
    pub(super) not_finite: Arc<AtomicU64>,
}

/// A column of whole numbers.
pub(super) struct Integers<'a>(pub(super) &'a [i64]);

/// A column of fractions.
pub(super) struct Fractions<'a> {
    pub(super) values: &'a [f64],
    pub(super) not_finite: Arc<AtomicU64>,
}

impl<N: Serialize + Copy> ValueEncoder for Numbers<'_, N> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        serialized(self.0[row], out);
    }
}

impl ValueEncoder for Integers<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        integer(self.0[row], out);
    }
}

impl<N: Into<f32> + Copy> ValueEncoder for Narrow<'_, N> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value: f32 = self.values[row].into();
        if !value.is_finite() {
            self.not_finite.fetch_add(1, Ordering::Relaxed);
        }
        serialized(value, out);
    }
}

impl ValueEncoder for Fractions<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.values[row];
        if !value.is_finite() {
            self.not_finite.fetch_add(1, Ordering::Relaxed);
        }
        fraction(value, out);
    }
}

/// Appends a number in `serde_json`'s form: what isn't finite becomes `null`.
fn serialized(value: impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &value).expect("a number can be written, and memory takes it");
}

/// A number below this has at most eight digits, which are made without a loop and without a branch.
const EIGHT_DIGITS: u64 = 100_000_000;
const ZEROS: u64 = 0x3030_3030_3030_3030;
const BYTE: u32 = 8;

/// The eight digits of a number below [`EIGHT_DIGITS`], each as its value, the first in the lowest byte.
#[inline]
fn eight_digits(value: u64) -> u64 {
    // Two numbers of four digits, then four of two, then eight of one: divided by multiplication, all at once.
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

/// Appends text of `length` bytes, the first in the lowest byte, behind a minus if it is to have one. Whether it has is
/// nothing that could be predicted, and so no branch.
#[inline]
fn append(text: u128, length: u32, negative: bool, out: &mut Vec<u8>) {
    let start = out.len();
    let minus = u32::from(negative);
    let text = (text << (BYTE * minus)) | u128::from(b'-' * minus as u8);
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(start + (length + minus) as usize);
}

/// Appends a whole number.
#[inline]
fn integer(value: i64, out: &mut Vec<u8>) {
    let magnitude = value.unsigned_abs();
    if magnitude >= EIGHT_DIGITS {
        return serialized(value, out);
    }
    let digits = eight_digits(magnitude);
    let leading = (digits.trailing_zeros() / BYTE).min(7);
    let text = (digits | ZEROS) >> (BYTE * leading);
    append(u128::from(text), 8 - leading, value < 0, out);
}

/// How many places behind the point a fraction may have to be written here.
const PLACES: u32 = 4;
const PLACES_FACTOR: f64 = 1e4;

/// Appends a fraction with as few digits as tell it from any other.
#[inline]
#[allow(clippy::float_cmp)] // it is the same number or it is not
fn fraction(value: f64, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    let scaled = magnitude * PLACES_FACTOR + 0.5;
    let shifted = scaled as u64;
    // Whether a decimal number of so few digits stands for this `f64`: both sides of the division are exact, so that it gives
    // the nearest (Clinger 1990). If so, it is the only one of up to 15 digits that does, and hence the shortest.
    if shifted >= EIGHT_DIGITS || shifted as i64 as f64 / PLACES_FACTOR != magnitude {
        return serialized(value, out);
    }
    let digits = eight_digits(shifted);
    let leading = (digits.trailing_zeros() / BYTE).min(3);
    let trailing = (digits.leading_zeros() / BYTE).min(PLACES - 1);
    let text = digits | ZEROS;
    let (whole, places) = (text & 0xffff_ffff, text >> 32);
    let point = PLACES - leading;
    let text = u128::from(whole >> (BYTE * leading) | (u64::from(b'.') << (BYTE * point)))
        | (u128::from(places) << (BYTE * (point + 1)));
    append(text, point + 1 + PLACES - trailing, value.is_sign_negative(), out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written<V>(write: impl Fn(V, &mut Vec<u8>), value: V) -> String {
        let mut out = b"before".to_vec();
        write(value, &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    fn assert_like_serde_json(value: f64) {
        for value in [value, -value] {
            assert_eq!(written(fraction, value), serde_json::to_string(&value).unwrap());
        }
    }

    #[test]
    fn numbers_at_every_border_are_what_serde_json_writes() {
        let powers = (0..19).map(|power| 10i64.pow(power));
        for value in powers.flat_map(|power| [power - 1, power, power + 1]).chain([i64::MAX]) {
            assert_eq!(written(integer, value), value.to_string());
            assert_eq!(written(integer, -value), (-value).to_string());
            for divisor in [1.0, 1e3, 1e4, 1e5, 3.0] {
                assert_like_serde_json(value as f64 / divisor);
            }
        }
        assert_eq!(written(integer, i64::MIN), i64::MIN.to_string());
        for value in [
            0.0,
            f64::NAN,
            f64::INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            1e-4,
            5e-5,
            1e15,
            1e16,
            f64::MAX,
        ] {
            assert_like_serde_json(value);
        }
    }

    #[test]
    fn numbers_of_few_digits_are_what_serde_json_writes() {
        for value in (0..30_000).chain(99_990_000..100_010_000) {
            assert_eq!(written(integer, value), value.to_string());
            assert_like_serde_json(value as f64 / 1e4);
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_are_what_serde_json_writes(value in any::<i64>(), shift in 0u32..64) {
            let value = value >> shift;
            prop_assert_eq!(written(integer, value), value.to_string());
        }

        #[test]
        fn fractions_are_what_serde_json_writes(
            bits in any::<u64>(),
            decimal in any::<i64>(),
            shift in 8u32..60,
            places in 0i32..7,
        ) {
            let short = (decimal >> shift) as f64 / 10f64.powi(places);
            for value in [f64::from_bits(bits), short, short.next_up(), short.next_down()] {
                prop_assert_eq!(written(fraction, value), serde_json::to_string(&value).unwrap());
            }
        }
    }
}
