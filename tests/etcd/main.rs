//! rkadm's reading and writing of etcd's files, beside the real etcd of every line that Kubernetes uses.
//!
//! Each test has a network of its own with nothing but a loopback interface, and real etcd processes in it. What rkadm
//! finds in a snapshot is compared with what etcd and etcdutl say; what it restores is started.

mod backup;
mod bench;
mod client;
mod data;
mod drill;
mod faults;
mod fixtures;
mod full;
mod large;
mod member;
mod net;
mod pages;
mod restore;
mod server;
mod site;
mod stopped;
mod survivor;
mod verify;

/// A test for each line of etcd.
#[macro_export]
macro_rules! on_every_line {
    ($($test:ident)*) => { $(
        mod $test {
            #[test]
            fn on_3_5() -> anyhow::Result<()> {
                super::$test("3.5")
            }

            #[test]
            fn on_3_6() -> anyhow::Result<()> {
                super::$test("3.6")
            }

            #[test]
            fn on_3_7() -> anyhow::Result<()> {
                super::$test("3.7")
            }
        }
    )* };
}
