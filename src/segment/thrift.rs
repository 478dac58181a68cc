//! Reads Thrift's compact protocol, as far as Parquet uses it, from bytes that may be damaged.
//!
//! Parquet decoders reserve memory according to the lengths that they find, so one flipped bit can abort
//! the process. Here each value takes at least one byte of the input, so a tree of values is never larger
//! than the input allows. Depth is limited. An unknown value ends the reading.
//!
//! A [`Shape`] gives the types that a struct's fields must have. Every other decoder reads bytes that fit
//! a shape in the same way: it finds equal lengths at equal places.
//!
//! ```text
//! struct   fields, then 0
//! field    delta of the id << 4 | type, then the value; with delta 0, the id as an integer first
//! integer  zigzag, seven bits a byte, lowest first
//! binary   length, bytes
//! list     size << 4 | type, then the values; with size 15, the size as an unsigned integer first
//! ```

/// The greatest depth of nested values in a footer.
const MOST_DEPTH: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Byte(i8),
    Integer(i64),
    Double([u8; 8]),
    Binary(&'a [u8]),
    List(Vec<Value<'a>>),
    Struct(Vec<(i16, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Parses the struct at the beginning of the bytes.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        Self::parse_first(bytes).map(|(value, _)| value)
    }

    /// Parses the struct at the beginning of the bytes, and returns how many bytes it has.
    pub(crate) fn parse_first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut reader = Reader { rest: bytes };
        let value = reader.structure(0)?;
        Some((value, bytes.len() - reader.rest.len()))
    }

    /// A field of a struct.
    pub(crate) fn field(&self, id: i16) -> Option<&Self> {
        let Self::Struct(fields) = self else { return None };
        fields.iter().find(|(found, _)| *found == id).map(|(_, value)| value)
    }

    /// A field of a struct that is an integer.
    pub(crate) fn integer(&self, id: i16) -> Option<i64> {
        match self.field(id)? {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// A field of a struct that is text.
    pub(crate) fn text(&self, id: i16) -> Option<&'a str> {
        match self.field(id)? {
            Self::Binary(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A field of a struct that is a list.
    pub(crate) fn list(&self, id: i16) -> Option<&[Self]> {
        match self.field(id)? {
            Self::List(values) => Some(values),
            _ => None,
        }
    }
}

/// The types that a value must have. Fields that a shape does not name may have any type.
#[derive(Debug)]
pub(crate) enum Shape {
    Bool,
    Byte,
    Integer,
    Double,
    Binary,
    List(&'static Shape),
    Struct(&'static [(i16, Shape)]),
}

impl Shape {
    /// Whether a value has these types.
    pub(crate) fn fits(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Bool, Value::Bool(_))
            | (Self::Byte, Value::Byte(_))
            | (Self::Integer, Value::Integer(_))
            | (Self::Double, Value::Double(_))
            | (Self::Binary, Value::Binary(_)) => true,
            (Self::List(of), Value::List(values)) => values.iter().all(|value| of.fits(value)),
            (Self::Struct(shapes), Value::Struct(fields)) => fields.iter().all(|(id, value)| {
                shapes.iter().find(|(known, _)| known == id).is_none_or(|(_, shape)| shape.fits(value))
            }),
            _ => false,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn value(&mut self, of_type: u8, depth: usize) -> Option<Value<'a>> {
        match of_type {
            // An element of a list; in a field, the type holds the value.
            1 | 2 => Some(Value::Bool(self.byte()? == 1)),
            3 => Some(Value::Byte(self.byte()? as i8)),
            4..=6 => self.integer().map(Value::Integer),
            7 => Some(Value::Double(self.bytes(8)?.try_into().ok()?)),
            8 => {
                let len = usize::try_from(self.unsigned()?).ok()?;
                self.bytes(len).map(Value::Binary)
            }
            9 | 10 => self.list(depth + 1),
            12 => self.structure(depth + 1),
            _ => None,
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value<'a>> {
        let head = self.byte()?;
        let size = match head >> 4 {
            15 => usize::try_from(self.unsigned()?).ok()?,
            size => usize::from(size),
        };
        if depth > MOST_DEPTH || size > self.rest.len() {
            return None;
        }
        // It grows with the values: the size alone reserves no memory.
        let mut values = Vec::new();
        for _ in 0..size {
            values.push(self.value(head & 15, depth)?);
        }
        Some(Value::List(values))
    }

    fn structure(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > MOST_DEPTH {
            return None;
        }
        let mut fields = Vec::new();
        let mut last = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(Value::Struct(fields));
            }
            let id = match head >> 4 {
                0 => i16::try_from(self.integer()?).ok()?,
                delta => last.checked_add(i16::from(delta))?,
            };
            // Of two fields with one number, decoders may take either.
            if id <= last {
                return None;
            }
            last = id;
            let value = match head & 15 {
                1 => Value::Bool(true),
                2 => Value::Bool(false),
                of_type => self.value(of_type, depth)?,
            };
            fields.push((id, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_struct_with_one_of_each() {
        // 1: 300, 2: "ab", 3: [1, -1], 20: true, 21: {1: -1}
        let bytes = [0x15, 0xd8, 0x04, 0x18, 2, b'a', b'b', 0x19, 0x25, 2, 1, 0x01, 40, 0x1c, 0x15, 1, 0, 0];
        let value = Value::parse(&bytes).unwrap();
        assert_eq!((value.integer(1), value.text(2)), (Some(300), Some("ab")));
        assert_eq!(value.list(3), Some(&[Value::Integer(1), Value::Integer(-1)][..]));
        assert_eq!(value.field(20), Some(&Value::Bool(true)));
        assert_eq!(value.field(21).unwrap().integer(1), Some(-1));
        for cut in 0..bytes.len() {
            assert_eq!(Value::parse(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_list_that_says_it_is_larger_than_the_input_is_none() {
        // 4: a list of 2^31 - 1 structs.
        assert_eq!(Value::parse(&[0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0]), None);
        // Lists in lists in lists.
        let mut deep = vec![0x19];
        deep.extend([0x19; 1000]);
        assert_eq!(Value::parse(&deep), None);
    }

    #[test]
    fn fields_out_of_order_or_given_twice_are_none() {
        // 1: 1, then 1: 2 with its number written out.
        assert_eq!(Value::parse(&[0x15, 2, 0x05, 2, 4, 0]), None);
        assert!(Value::parse(&[0x15, 2, 0x05, 4, 4, 0]).is_some());
    }

    #[test]
    fn a_value_fits_a_shape_if_all_its_types_do() {
        static INTEGERS: Shape = Shape::List(&Shape::Integer);
        let shape =
            Shape::Struct(&[(1, Shape::Integer), (2, Shape::Binary), (3, Shape::List(&Shape::Integer))]);
        let bytes = [0x15, 0xd8, 0x04, 0x18, 1, b'a', 0x19, 0x15, 2, 0x01, 40, 0];
        let (value, length) = Value::parse_first(&bytes).unwrap();
        assert!(shape.fits(&value) && length == bytes.len());
        assert!(!Shape::Struct(&[(1, Shape::Binary)]).fits(&value));
        assert!(!Shape::Struct(&[(3, Shape::List(&Shape::Bool))]).fits(&value));
        assert!(!INTEGERS.fits(&value) && !Shape::Struct(&[(2, Shape::List(&Shape::Integer))]).fits(&value));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Value::parse(&bytes);
        }
    }
}
