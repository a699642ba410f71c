//! The pages over loopback, with the embedded identity provider and a browser of our own.

mod browser;
mod clients;
mod consent;
mod consents;
mod every_call;
mod history;
mod languages;
mod receipts;
mod sessions;
mod sign_in;
mod until_sign_out;
mod world;
