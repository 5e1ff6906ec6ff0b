//! Which channels there are, for whatever journal: the tests of `Store::list` and `Store::inspect`.

use poll_core::journal::Tail;
use poll_core::{ChannelPage, Retention, Selection, Store};

use super::{Backend, Opened, in_time, name, one, send, two};

async fn list(store: &Store, prefix: &str, after: &str, limit: usize) -> ChannelPage {
    let given = |text: &str| (!text.is_empty()).then(|| name(text));
    let selection = Selection { prefix: given(prefix), after: given(after), limit };
    in_time(store.list(store.environment().now(), selection)).await.unwrap()
}

/// The names of a page, and where the next one begins.
async fn names(store: &Store, prefix: &str, after: &str, limit: usize) -> (String, Option<String>) {
    let page = list(store, prefix, after, limit).await;
    let names: Vec<_> = page.channels.iter().map(|listed| listed.channel.as_str()).collect();
    (names.join(" "), page.next.map(|next| next.to_string()))
}

pub(crate) async fn channels_are_listed_a_page_at_a_time_in_the_order_of_their_names(backend: &impl Backend) {
    let Opened { stores, _holds } = two(backend).await;
    let (here, there) = (&stores[0], stores.last().unwrap());
    let page = |text: &str, next: Option<&str>| (text.to_owned(), next.map(str::to_owned));
    assert_eq!(names(here, "", "", 10).await, page("", None));
    for channel in ["b", "orders/2", "a", "orders/10", "ordersX", "ä", "orders/1"] {
        send(here, channel, one("x")).await;
    }
    let all = "a b orders/1 orders/10 orders/2 ordersX ä";
    assert_eq!(names(there, "", "", 10).await, page(all, None));
    assert_eq!(names(there, "", "", 3).await, page("a b orders/1", Some("orders/1")));
    assert_eq!(names(there, "", "orders/1", 3).await, page("orders/10 orders/2 ordersX", Some("ordersX")));
    assert_eq!(names(there, "", "ordersX", 3).await, page("ä", None));
    assert_eq!(names(there, "orders/", "", 2).await, page("orders/1 orders/10", Some("orders/10")));
    assert_eq!(names(there, "orders/", "orders/10", 2).await, page("orders/2", None));
    assert_eq!(names(there, "orders/", "b", 9).await, page("orders/1 orders/10 orders/2", None));
    assert_eq!(names(there, "c", "", 9).await, page("", None));
    assert_eq!(names(there, "a", "ä", 9).await, page("", None));
}

pub(crate) async fn a_listed_channel_is_what_is_retained_of_it(backend: &impl Backend) {
    let retention = Retention { messages: 3, ..Retention::default() };
    let Opened { stores, _holds } = backend.open(2, retention, Tail::default()).await;
    let (here, there) = (&stores[0], stores.last().unwrap());
    let mut stamps = Vec::new();
    for text in ["1", "22", "333", "4444", "55555"] {
        stamps.push(send(here, "a", one(text)).await.stamps[0]);
    }
    send(here, "b", poll_core::Publish { ending: poll_core::Ending::Close, ..one("x") }).await;
    let now = there.environment().now();
    let found = in_time(there.inspect(now, &name("a"))).await.unwrap().unwrap();
    let (description, last) = (&found.description, stamps[4].cursor);
    assert_eq!((description.epoch, description.newest), (last.epoch, last.seq));
    assert_eq!((description.oldest.get(), description.messages()), (3, 3));
    assert!(found.bytes >= 3 + 4 + 5, "{} bytes", found.bytes);
    let page = list(there, "", "", 9).await;
    let endings: Vec<_> = page.channels.iter().map(|listed| listed.description.ending).collect();
    assert_eq!(endings, [poll_core::Ending::Open, poll_core::Ending::Close]);
    assert_eq!(page.channels[0].description.oldest.get(), 3);
    assert!(in_time(there.inspect(now, &name("c"))).await.unwrap().is_none());
    assert!(in_time(there.inspect(now, &name(&"a".repeat(1_024)))).await.unwrap().is_none());
}

pub(crate) async fn many_channels_are_listed_once_each(backend: &impl Backend) {
    const CHANNELS: usize = 300;
    let Opened { stores, _holds } = two(backend).await;
    let (here, there) = (&stores[0], stores.last().unwrap());
    for number in 0..CHANNELS {
        send(here, &format!("user/{number:04}"), one("x")).await;
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(there, "user/", &after, 64).await;
        assert!(page.channels.len() <= 64);
        listed.extend(page.channels.into_iter().map(|listed| listed.channel.to_string()));
        let Some(next) = page.next else { break };
        assert!(*next.as_str() > *after, "{next} after {after}");
        after = next.to_string();
    }
    let all: Vec<_> = (0..CHANNELS).map(|number| format!("user/{number:04}")).collect();
    assert_eq!(listed, all);
}
