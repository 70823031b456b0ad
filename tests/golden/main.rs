//! rkadm's files and objects against those that kubeadm 1.36 and 1.37 made from the same configuration, compared as
//! parsed objects. `refresh.py` records the fixtures.

mod files;
mod fixture;
mod objects;
mod patches;
