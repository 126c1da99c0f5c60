//! Walks the lists and objects of a reply without trusting their shape.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::Reject;

/// What handles the objects of a list; everything else in the list is refused as a shape.
pub(super) trait Item<'de> {
    /// Reads one object.
    fn object<A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error>;
    /// Counts a part that is no object.
    fn reject(&mut self, kind: Reject);
}

/// A value that should be an object or, where `list` is set, a list of objects (`null`, `{}` and
/// `[]` are empty lists). A list inside a list is refused, so the depth of a reply does not matter.
pub(super) struct Items<'i, I> {
    item: &'i mut I,
    list: bool,
}

impl<'i, I> Items<'i, I> {
    /// A list of objects, or a single object in its place.
    pub(super) const fn list(item: &'i mut I) -> Self {
        Self { item, list: true }
    }

    /// One object.
    pub(super) const fn one(item: &'i mut I) -> Self {
        Self { item, list: false }
    }
}

impl<'de, I: Item<'de>> DeserializeSeed<'de> for Items<'_, I> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, I: Item<'de>> Visitor<'de> for Items<'_, I> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.list {
            while seq.next_element_seed(Items::one(&mut *self.item))?.is_some() {}
        } else {
            self.item.reject(Reject::Shape);
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.item.object(map)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if !self.list {
            self.item.reject(Reject::Shape);
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.item.reject(Reject::Shape);
        Ok(())
    }
}
