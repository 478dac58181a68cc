//! One value for each kind of fact.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use super::Kind;

/// One value for each kind, in the order of [`Kind::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PerKind<T>([T; 3]);

impl<T> PerKind<T> {
    /// Makes the value of each kind.
    pub(crate) fn from_fn(make: impl FnMut(Kind) -> T) -> Self {
        Self(Kind::ALL.map(make))
    }

    pub(crate) const fn of(event: T, audit: T, dead_letter: T) -> Self {
        Self([event, audit, dead_letter])
    }

    /// The values.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The values, to be changed.
    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }

    /// Each kind with its value.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (Kind, &T)> {
        Kind::ALL.into_iter().zip(&self.0)
    }

    /// Each kind with its value, to be changed.
    pub(crate) fn pairs_mut(&mut self) -> impl Iterator<Item = (Kind, &mut T)> {
        Kind::ALL.into_iter().zip(&mut self.0)
    }

    /// Another value for each kind.
    pub(crate) fn map<U>(self, make: impl FnMut(T) -> U) -> PerKind<U> {
        PerKind(self.0.map(make))
    }
}

impl<T> Index<Kind> for PerKind<T> {
    type Output = T;

    fn index(&self, kind: Kind) -> &T {
        let [event, audit, dead_letter] = &self.0;
        match kind {
            Kind::Event => event,
            Kind::Audit => audit,
            Kind::DeadLetter => dead_letter,
        }
    }
}

impl<T> IndexMut<Kind> for PerKind<T> {
    fn index_mut(&mut self, kind: Kind) -> &mut T {
        let [event, audit, dead_letter] = &mut self.0;
        match kind {
            Kind::Event => event,
            Kind::Audit => audit,
            Kind::DeadLetter => dead_letter,
        }
    }
}

impl<T> IntoIterator for PerKind<T> {
    type Item = T;
    type IntoIter = std::array::IntoIter<T, 3>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a PerKind<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut PerKind<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
