//! A number literal as a border between the values of a fixed-point type: exact whatever its length, found once, and then
//! compared in one step for each row.

use std::{cmp::Ordering, str::FromStr};

use arrow::datatypes::i256;

/// A literal among whole numbers of units of 10^-scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Border<T> {
    /// The largest whole number that is not above the literal.
    floor: T,
    /// Whether the literal is this number; otherwise it lies above.
    exact: bool,
}

/// What digits can be read as, with its ends for literals beyond them.
pub(super) trait Whole: Copy + Ord + FromStr {
    const LEAST: Self;
    const MOST: Self;
    fn before(self) -> Self;
}

impl Whole for i128 {
    const LEAST: Self = Self::MIN;
    const MOST: Self = Self::MAX;
    fn before(self) -> Self {
        self.saturating_sub(1)
    }
}

impl Whole for i256 {
    const LEAST: Self = Self::MIN;
    const MOST: Self = Self::MAX;
    fn before(self) -> Self {
        self.checked_sub(Self::ONE).unwrap_or(Self::MIN)
    }
}

/// More digits than any type has: a literal with more is beyond all values.
const DIGITS_MAX: i64 = 80;

impl<T: Whole> Border<T> {
    /// The border that a JSON number is. No value of a column is at the ends of `T`, so that what lies beyond them
    /// compares rightly too.
    pub(super) fn new(number: &str, scale: i8) -> Self {
        let (negative, unsigned) = match number.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, number),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let leading = digits.len() - digits.trim_start_matches('0').len();
        let significant = digits.trim_matches('0');
        if significant.is_empty() {
            return Self::of("0", true, false);
        }
        // An exponent that is no i64 is so large or small that only its sign counts.
        let sign = if exponent.starts_with('-') { -1 } else { 1 };
        let exponent = exponent.parse().unwrap_or(sign * (i64::MAX / 4));
        let places = (whole.len() as i64 - leading as i64)
            .saturating_add(exponent)
            .saturating_add(i64::from(scale));
        if places > DIGITS_MAX {
            return Self::beyond(negative);
        }
        if places <= 0 {
            return Self::of("0", false, negative);
        }
        let places = places as usize;
        if significant.len() <= places {
            Self::of(&format!("{significant:0<places$}"), true, negative)
        } else {
            Self::of(&significant[..places], false, negative)
        }
    }

    fn of(digits: &str, exact: bool, negative: bool) -> Self {
        let signed = if negative {
            format!("-{digits}")
        } else {
            digits.to_owned()
        };
        match signed.parse::<T>() {
            Err(_) => Self::beyond(negative),
            Ok(cut) => Self {
                floor: if negative && !exact { cut.before() } else { cut },
                exact,
            },
        }
    }

    fn beyond(negative: bool) -> Self {
        Self {
            floor: if negative { T::LEAST } else { T::MOST },
            exact: false,
        }
    }

    /// How a value compares with the literal.
    #[inline]
    pub(super) fn compare(&self, value: T) -> Ordering {
        value
            .cmp(&self.floor)
            .then(if self.exact { Ordering::Equal } else { Ordering::Less })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_lie_where_their_value_is() {
        let border = Border::<i128>::new;
        let at = |floor, exact| Border { floor, exact };
        assert_eq!(border("200", 0), at(200, true));
        assert_eq!(border("2e2", 0), at(200, true));
        assert_eq!(border("0.05e3", 0), at(50, true));
        assert_eq!(border("1.5", 0), at(1, false));
        assert_eq!(border("-1.5", 0), at(-2, false));
        assert_eq!(border("-0.5", 0), at(-1, false));
        assert_eq!(border("-0.0", 0), at(0, true));
        assert_eq!(border("1.5", 2), at(150, true));
        assert_eq!(border("1.005", 2), at(100, false));
        assert_eq!(border("1500", -2), at(15, true));
        assert_eq!(border("1e99999999999999999999", 0), at(i128::MAX, false));
        assert_eq!(border("-1e-99999999999999999999", 0), at(-1, false));
        assert_eq!(Border::<i256>::new("1e60", 0).compare(i256::MAX), Ordering::Greater);
    }
}
