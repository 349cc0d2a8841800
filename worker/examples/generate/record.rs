//! What a record is made of: a tree of fields, each a pure function of the seed and the record's number.
//!
//! That is what makes the same records come out in every format, and what lets a Parquet file be written column by column
//! without holding a row group: any column can be made again on its own.

/// Which record is made: all that a value may depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The user's seed.
    pub(crate) seed: u64,
    /// The record's number over all objects, from 0.
    pub(crate) index: u64,
    /// How many records there are over all objects.
    pub(crate) total: u64,
    /// The record's time, in milliseconds since 1970: objects are an hour each.
    pub(crate) time_ms: u64,
}

impl Row {
    /// Random numbers of this row's own, different for each `salt`.
    pub(crate) fn draw(self, salt: u64) -> Draw {
        let mut draw = Draw {
            row: self,
            state: self.seed ^ salt.rotate_left(32) ^ self.index.wrapping_mul(0xd134_2543_de82_ef95),
        };
        draw.next();
        draw
    }
}

/// Random numbers for one field of one row (splitmix64: Steele, Lea, Flood, 2014).
#[derive(Debug)]
pub(crate) struct Draw {
    pub(crate) row: Row,
    state: u64,
}

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

type Make<T> = Box<dyn Fn(&mut Draw) -> T>;
/// Appends to the text, which comes in empty.
type MakeText = Box<dyn Fn(&mut Draw, &mut String)>;

/// One field of a record.
pub(crate) struct Field {
    pub(crate) name: String,
    salt: u64,
    /// Whether the row has the field; `None` for always.
    present: Option<Make<bool>>,
    pub(crate) content: Content,
}

/// What a field holds.
pub(crate) enum Content {
    Bool(Make<bool>),
    Int(Make<i64>),
    Float(Make<f64>),
    Text(MakeText),
    /// JSON text as it shall stand in the record, of any type.
    Json(MakeText),
    /// A list of texts, given one after the other, each ended by `\0`.
    Texts(MakeText),
    Group(Vec<Field>),
}

impl Field {
    fn new(name: impl Into<String>, content: Content) -> Self {
        let name = name.into();
        // FNV-1a: names must differ, and nobody attacks us.
        let salt = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            name,
            salt,
            present: None,
            content,
        }
    }

    pub(crate) fn bool(name: impl Into<String>, make: impl Fn(&mut Draw) -> bool + 'static) -> Self {
        Self::new(name, Content::Bool(Box::new(make)))
    }

    pub(crate) fn int(name: impl Into<String>, make: impl Fn(&mut Draw) -> i64 + 'static) -> Self {
        Self::new(name, Content::Int(Box::new(make)))
    }

    pub(crate) fn float(name: impl Into<String>, make: impl Fn(&mut Draw) -> f64 + 'static) -> Self {
        Self::new(name, Content::Float(Box::new(make)))
    }

    pub(crate) fn text(name: impl Into<String>, make: impl Fn(&mut Draw, &mut String) + 'static) -> Self {
        Self::new(name, Content::Text(Box::new(make)))
    }

    pub(crate) fn json(name: impl Into<String>, make: impl Fn(&mut Draw, &mut String) + 'static) -> Self {
        Self::new(name, Content::Json(Box::new(make)))
    }

    pub(crate) fn texts(name: impl Into<String>, make: impl Fn(&mut Draw, &mut String) + 'static) -> Self {
        Self::new(name, Content::Texts(Box::new(make)))
    }

    pub(crate) fn group(name: impl Into<String>, fields: Vec<Self>) -> Self {
        Self::new(name, Content::Group(fields))
    }

    /// The same field, absent from the rows for which `present` is false.
    pub(crate) fn when(mut self, present: impl Fn(&mut Draw) -> bool + 'static) -> Self {
        self.present = Some(Box::new(present));
        self
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.present.is_some()
    }

    pub(crate) fn is_present(&self, row: Row) -> bool {
        // Another salt than the value's, so that presence tells nothing about it.
        self.present
            .as_ref()
            .is_none_or(|present| present(&mut row.draw(!self.salt)))
    }

    /// The random numbers that the field's value is made from.
    pub(crate) fn draw(&self, row: Row) -> Draw {
        row.draw(self.salt)
    }
}
