//! Numbers as columns hold them. What a column could not give back as it was is not read here: it stays JSON text.

use super::scan;

/// The most significant digits that an `f64` is trusted with; a number with more stays text.
const FLOAT_DIGITS_MAX: usize = 17;
/// The largest whole number up to which each is an `f64` of its own.
const EXACT_MAX: u64 = 1 << 53;

/// Powers of ten that are exact in an `f64`.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// [`int`] for at most seven digits, which most have.
#[inline(always)]
#[allow(clippy::inline_always)] // what it returns stays in registers
pub(super) fn short_int(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = text[at] == b'-';
    let first = at + usize::from(negative);
    let (value, end) = up_to_seven_digits(text, first)?;
    let is_whole = !is_fraction_or_exponent(text[end]) && (text[first] != b'0' || (end == first + 1 && !negative));
    let value = value as i64;
    is_whole.then_some((if negative { -value } else { value }, end))
}

/// The whole number that starts at `at` and the place behind it. `None`: no number that an `i64` can give back as it was
/// written (a fraction, an exponent, `-0`, too large), or no number of JSON at all.
pub(super) fn int(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = text[at] == b'-';
    let first = at + usize::from(negative);
    let (value, end) = unsigned(text, first)?;
    if is_fraction_or_exponent(text[end]) || (text[first] == b'0' && (end > first + 1 || negative)) {
        return None;
    }
    let value = if negative {
        0i64.checked_sub_unsigned(value)?
    } else {
        i64::try_from(value).ok()?
    };
    Some((value, end))
}

#[inline]
fn is_fraction_or_exponent(byte: u8) -> bool {
    matches!(byte, b'.' | b'e' | b'E')
}

/// Digits from `first` on, at least one, and the place behind them; `None` if they don't fit.
#[inline]
fn unsigned(text: &[u8], first: usize) -> Option<(u64, usize)> {
    up_to_seven_digits(text, first).or_else(|| long_unsigned(text, first))
}

/// One to seven digits from `first` on, and the place behind them, which has none.
#[inline]
fn up_to_seven_digits(text: &[u8], first: usize) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(*scan::chunk::<8>(text, first)?);
    let count = scan::leading_digits(word);
    (1..8)
        .contains(&count)
        .then(|| (eight_digits((word ^ ZEROS) << (64 - 8 * count)), first + count))
}

/// [`unsigned`] for any number of digits.
#[inline(never)]
fn long_unsigned(text: &[u8], first: usize) -> Option<(u64, usize)> {
    let mut at = first;
    let mut value = 0u64;
    loop {
        let word = u64::from_le_bytes(*scan::chunk::<8>(text, at)?);
        let count = scan::leading_digits(word);
        if count == 8 {
            if at - first == 16 {
                return None;
            }
            value = value * 100_000_000 + eight_digits(word ^ ZEROS);
            at += 8;
            continue;
        }
        if count > 0 {
            let digits = eight_digits((word ^ ZEROS) << (64 - 8 * count));
            value = if at == first {
                digits
            } else {
                value.checked_mul(TENS[count])?.checked_add(digits)?
            };
            at += count;
        }
        return (at > first).then_some((value, at));
    }
}

/// The value of the first `count` of eight bytes, which are digits.
#[inline]
fn digits_in(bytes: [u8; 8], count: usize) -> u64 {
    eight_digits((u64::from_le_bytes(bytes) ^ ZEROS) << (64 - 8 * count))
}

const ZEROS: u64 = 0x3030_3030_3030_3030;
const TENS: [u64; 17] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
];

/// The value of eight digits, the first in the lowest byte, each as its value.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

/// [`float`] for at most eight digits on each side of the point and 14 together, as most have. Where both end is found in
/// one look, and so long before the value.
#[inline(always)]
#[allow(clippy::inline_always)] // what it returns stays in registers
pub(super) fn short_float(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = text[at] == b'-';
    let first = at + usize::from(negative);
    let head = scan::chunk::<16>(text, first)?;
    // Two bits more, for where there are none.
    let others = scan::non_digits(head) | 3 << 16;
    let point = others.trailing_zeros() as usize;
    let end = (others & (others - 1)).trailing_zeros() as usize;
    let places = end - point - 1;
    if end >= 16
        || !(1..=8).contains(&point)
        || !(1..=8).contains(&places)
        || head[point] != b'.'
        || (head[0] == b'0' && point > 1)
        || matches!(head[end], b'e' | b'E')
    {
        return None;
    }
    let fraction = scan::chunk::<8>(text, first + point + 1)?;
    let mantissa = digits_in(head.as_chunks().0[0], point) * TENS[places] + digits_in(*fraction, places);
    Some((quotient(negative, mantissa, places), first + end))
}

/// The number with a fraction or an exponent that starts at `at` and the place behind it. `None`: a whole number, one that
/// an `f64` can't give back (more than 17 digits, overflow, underflow to zero), or no number of JSON at all.
pub(super) fn float(text: &[u8], at: usize) -> Option<(f64, usize)> {
    short_float(text, at).or_else(|| long_float(text, at))
}

/// The decimal fraction of a mantissa of at most [`EXACT_MAX`]: both it and the power of ten are exact, so that the quotient is
/// the nearest `f64` (Clinger 1990).
#[inline]
fn quotient(negative: bool, mantissa: u64, places: usize) -> f64 {
    // Signed, which a processor converts in one step; and the sign as a bit, because nobody could predict a branch.
    let value = mantissa as i64 as f64 / POWERS[places];
    f64::from_bits(value.to_bits() | u64::from(negative) << 63)
}

/// [`float`] for up to 16 digits without an exponent; and on to those of any length.
fn long_float(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = text[at] == b'-';
    let first = at + usize::from(negative);
    let (whole, point) = unsigned(text, first)?;
    if text[point] == b'.' && (text[first] != b'0' || point == first + 1) {
        let (fraction, end) = unsigned(text, point + 1)?;
        let places = end - point - 1;
        // At most 16 digits: the product can't overflow.
        if end - first <= 17 && !matches!(text[end], b'e' | b'E') {
            let mantissa = whole * TENS[places] + fraction;
            if mantissa <= EXACT_MAX {
                return Some((quotient(negative, mantissa, places), end));
            }
        }
    }
    any_float(text, at)
}

/// [`float`] for numbers of any length, with exponents.
fn any_float(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let end = super::walk::number(text, at).ok()?;
    let number = &text[at..end];
    let mantissa_end = number
        .iter()
        .position(|byte| matches!(byte, b'e' | b'E'))
        .unwrap_or(number.len());
    let mantissa = &number[..mantissa_end];
    if mantissa_end == number.len() && !mantissa.contains(&b'.') {
        return None;
    }
    let digits = mantissa
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .skip_while(|digit| **digit == b'0')
        .count();
    let value: f64 = fast_float2::parse(number).ok()?;
    (digits <= FLOAT_DIGITS_MAX && value.is_finite() && (digits == 0 || value != 0.0)).then_some((value, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(number: &str) -> Vec<u8> {
        let mut text = number.as_bytes().to_vec();
        text.extend_from_slice(b",\n");
        text.extend([b'9'; scan::PAD_BYTES]);
        text
    }

    #[test]
    fn whole_numbers_that_fit_are_read_and_others_are_not() {
        for number in [
            "0",
            "7",
            "-7",
            "12345678",
            "123456789",
            "9223372036854775807",
            "-9223372036854775808",
        ] {
            let expected = Some((number.parse().unwrap(), number.len()));
            assert_eq!(int(&padded(number), 0), expected, "{number}");
            let short = short_int(&padded(number), 0);
            assert!(short.is_none() || short == expected, "{number}");
        }
        for number in [
            "-0",
            "01",
            "-01",
            "",
            "-",
            "1.0",
            "1e2",
            "9223372036854775808",
            "-9223372036854775809",
            "x",
        ] {
            assert_eq!(int(&padded(number), 0), None, "{number}");
            assert_eq!(short_int(&padded(number), 0), None, "{number}");
        }
        assert_eq!(int(&padded(&"1".repeat(30)), 0), None);
    }

    #[test]
    fn fractions_that_fit_are_read_and_others_are_not() {
        for number in [
            "0.0",
            "-0.0",
            "1.5",
            "0.1",
            "12.000001",
            "1e5",
            "-1E-5",
            "1.7976931348623157e308",
            "5e-324",
            "0e999",
            "0.30000000000000004",
            "9007199254740992.0",
            "900719925474099.3",
            "123456789.12345678",
            "12345678.1234567",
            "12345678.12345678",
            "12345678.123456789",
            "1.12345678",
            "1.123456789",
            "12345678.1",
        ] {
            let (value, end) = float(&padded(number), 0).expect(number);
            assert_eq!(
                (value.to_bits(), end),
                (number.parse::<f64>().unwrap().to_bits(), number.len()),
                "{number}"
            );
        }
        for number in [
            "1",
            "-1",
            "",
            "-",
            "01.5",
            "1.",
            ".5",
            "1.e5",
            "1e400",
            "-1e400",
            "1e-400",
            "0.123456789012345678",
            "123456789012345678.0",
            "1e",
        ] {
            assert_eq!(float(&padded(number), 0), None, "{number}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_are_what_the_standard_library_says(value in any::<i64>(), shift in 0u32..64) {
            let value = value >> shift;
            let number = value.to_string();
            prop_assert_eq!(int(&padded(&number), 0), Some((value, number.len())));
            let short = (number.trim_start_matches('-').len() < 8).then_some((value, number.len()));
            prop_assert_eq!(short_int(&padded(&number), 0), short);
        }

        #[test]
        fn fractions_are_what_the_standard_library_says(number in r"-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = number.parse().unwrap();
            let mantissa = number.split(['e', 'E']).next().unwrap();
            let digits = mantissa.replace(['-', '.'], "").trim_start_matches('0').len();
            let whole = !number.contains(['.', 'e', 'E']);
            let fits = !whole && digits <= 17 && expected.is_finite() && (expected != 0.0 || digits == 0);
            let found = float(&padded(&number), 0).map(|(value, end)| (value.to_bits(), end));
            prop_assert_eq!(found, fits.then_some((expected.to_bits(), number.len())), "{}", number);
        }
    }
}
