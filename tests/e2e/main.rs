//! Real machines, real Kubernetes: what `rkadm init` promises, kept on nodes with systemd, containerd and a kubelet.
//!
//! The program under test is `$RKADM`, else the one that cargo built for the tests. `make bench` measures the release build.
//! One machine carries several checks where they do not disturb each other; two tests run at
//! the same time, each with a lab of its own. They begin in the order of their names: a long one under a late name runs alone at the end.
#![allow(clippy::print_stdout, reason = "tests show what they measure, and how to replay them")]

mod backup;
mod bench;
mod bench_join;
mod bench_plan;
mod bench_upgrade;
mod certificates;
mod chaos;
mod disaster;
mod failures;
mod fleet;
mod init;
mod interrupted;
mod join;
mod join_messages;
mod kill;
mod kubeadm;
mod messages;
mod older;
mod parity;
mod reset;
mod restore;
mod support;
mod survivor;
mod together;
mod upgrade;
mod upgrade_failures;
