//! Where the numbers and lengths are in bytes in Thrift's compact protocol.

/// A place in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    /// The head of a list, and what comes after it.
    List { at: usize, end: usize, of_type: u8 },
    /// A number, or the length of a text.
    Number { at: usize, end: usize },
}

/// The spots of the struct that these bytes begin with, and how many bytes it has.
pub(super) fn spots(bytes: &[u8]) -> Option<(Vec<Spot>, usize)> {
    let mut walker = Walker { bytes, at: 0, spots: Vec::new() };
    walker.structure(0)?;
    Some((walker.spots, walker.at))
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    spots: Vec<Spot>,
}

impl Walker<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (at, mut number) = (self.at, 0);
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.spots.push(Spot::Number { at, end: self.at });
                return Some(number);
            }
        }
        None
    }

    fn structure(&mut self, depth: usize) -> Option<()> {
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            if head >> 4 == 0 {
                self.number()?;
            }
            if !matches!(head & 15, 1 | 2) {
                self.value(head & 15, depth)?;
            }
        }
    }

    fn value(&mut self, of_type: u8, depth: usize) -> Option<()> {
        match of_type {
            1..=3 => self.byte().map(drop),
            4..=6 => self.number().map(drop),
            7 => {
                self.at += 8;
                Some(())
            }
            8 => {
                self.at = self.at.checked_add(usize::try_from(self.number()?).ok()?)?;
                (self.at <= self.bytes.len()).then_some(())
            }
            9 | 10 if depth < 20 => {
                let at = self.at;
                let head = self.byte()?;
                let size = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                self.spots.push(Spot::List { at, end: self.at, of_type: head & 15 });
                for _ in 0..size {
                    self.value(head & 15, depth + 1)?;
                }
                Some(())
            }
            12 if depth < 20 => self.structure(depth + 1),
            _ => None,
        }
    }
}
