//! The order of a listing: that keys ascend by their bytes, from page to page as within one.
//!
//! Who goes on behind a key, as a restarted discovery and every reader of a state directory does, relies on it: where a
//! server sorts otherwise (by the parts of a path, or not at all, as S3's directory buckets), keys would be left out and
//! nobody would notice. So every page of a server is looked at. What is known of the pages before travels in the token
//! that asks for the next one, because nothing else is kept between two pages.

use crate::ListPage;

/// What a listing has shown so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Order {
    last: String,
}

impl Order {
    /// Takes our own token apart: what came before, and the server's token.
    pub(crate) fn of_token(token: &str) -> Option<(Self, &str)> {
        let (length, rest) = token.split_once(' ')?;
        let (last, token) = rest.split_at_checked(length.parse().ok()?)?;
        let last = last.to_owned();
        Some((Self { last }, token))
    }

    /// Our own token for the page behind this one, around the server's.
    pub(crate) fn token(&self, servers: &str) -> String {
        format!("{} {}{servers}", self.last.len(), self.last)
    }

    /// Looks at the next page, and says what is against the order in it.
    pub(crate) fn see(&mut self, page: &ListPage, start_after: Option<&str>) -> Option<String> {
        let objects = page.objects.iter().map(|object| object.uri.key());
        // Objects and common prefixes each come in their order, and both lie behind the page before. Whether a folder is
        // shown that `start_after` lies within is each server's own choice.
        let start = self.last.as_str().max(start_after.unwrap_or_default());
        let (last_object, disordered) = ascend(start, objects);
        let prefixes = page.common_prefixes.iter().map(String::as_str);
        let (last_prefix, disordered_prefix) = ascend(&self.last, prefixes);
        let last = last_object.max(last_prefix).to_owned();
        let disorder = disordered.or(disordered_prefix).map(|(before, key)| {
            if before == start && start_after == Some(start) {
                format!("shows `{key}`, and was asked for keys behind `{before}`")
            } else {
                format!("shows `{key}` behind `{before}`")
            }
        });
        self.last = last;
        disorder
    }
}

/// The largest key, and the first pair that does not ascend.
fn ascend<'a>(start: &'a str, keys: impl Iterator<Item = &'a str>) -> (&'a str, Option<(&'a str, &'a str)>) {
    let mut last = start;
    let mut disordered = None;
    for key in keys {
        // Every key comes behind none.
        if key > last || last.is_empty() {
            last = key;
        } else {
            disordered = disordered.or(Some((last, key)));
        }
    }
    (last, disordered)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{ObjectMeta, ObjectUri};

    fn page(keys: &[&str], common_prefixes: &[&str]) -> ListPage {
        let object = |key: &&str| ObjectMeta {
            uri: ObjectUri::S3 {
                bucket: "b".to_owned(),
                key: (*key).to_owned(),
            },
            size_bytes: 1,
            etag: String::new(),
            last_modified: Timestamp::UNIX_EPOCH,
            archived: None,
        };
        ListPage {
            objects: keys.iter().map(object).collect(),
            common_prefixes: common_prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            ..ListPage::default()
        }
    }

    #[test]
    fn keys_that_do_not_ascend_are_named_within_a_page_and_from_one_to_the_next() {
        let mut order = Order::default();
        assert_eq!(order.see(&page(&["a b/1", "a/1"], &[]), None), None);
        assert_eq!(
            order.see(&page(&["a b/2"], &[]), None),
            Some("shows `a b/2` behind `a/1`".to_owned())
        );
        assert_eq!(
            Order::default().see(&page(&["a/1", "a b/1"], &[]), None),
            Some("shows `a b/1` behind `a/1`".to_owned())
        );
        assert_eq!(
            Order::default().see(&page(&["a", "a"], &[]), None),
            Some("shows `a` behind `a`".to_owned())
        );
        assert_eq!(
            Order::default().see(&page(&[], &["b/", "a/"]), None),
            Some("shows `a/` behind `b/`".to_owned())
        );
        // Folders stand among objects.
        assert_eq!(Order::default().see(&page(&["a", "c"], &["b/"]), None), None);
    }

    #[test]
    fn a_key_that_was_to_be_left_out_is_named_but_the_folder_that_it_lies_in_is_not() {
        assert_eq!(
            Order::default().see(&page(&["b"], &[]), Some("c")),
            Some("shows `b`, and was asked for keys behind `c`".to_owned())
        );
        assert_eq!(Order::default().see(&page(&["d"], &["c/"]), Some("c/x")), None);
    }

    proptest! {
        #[test]
        fn a_token_is_taken_apart_as_it_was_made(last in any::<String>(), servers in any::<String>()) {
            let order = Order { last };
            let token = order.token(&servers);
            prop_assert_eq!(Order::of_token(&token), Some((order, servers.as_str())));
        }

        #[test]
        fn no_text_makes_a_token_panic(text in any::<String>(), number in any::<u64>()) {
            Order::of_token(&text);
            Order::of_token(&format!("{number} {text}"));
        }

        #[test]
        fn only_sorted_pages_are_in_order(keys in prop::collection::vec("[a-c /]{1,3}", 0..6), cut in 0..6_usize) {
            let texts: Vec<&str> = keys.iter().map(String::as_str).collect();
            let (first, second) = texts.split_at(cut.min(texts.len()));
            let mut order = Order::default();
            let seen = [order.see(&page(first, &[]), None), order.see(&page(second, &[]), None)];
            prop_assert_eq!(seen == [None, None], texts.is_sorted_by(|one, next| one < next));
        }
    }
}
