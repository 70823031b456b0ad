//! A proxy before the S3 server that does something wrong with chosen requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The server without TLS: what is encrypted cannot be changed on its way.
pub const SERVER: &str = "127.0.0.1:7070";

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The server answers with this status and document.
    Answer(u16, &'static str),
    /// The connection ends in the middle of the answer.
    Cut,
    /// A bit of the answer is another one.
    Change,
    /// The answer is late.
    Slow(Duration),
}

/// Chooses requests by method and target.
pub type Which = fn(&str, &str) -> bool;

/// A running proxy.
pub struct Faults {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    which: Which,
    fault: Fault,
    most: usize,
    count: AtomicUsize,
    over: AtomicBool,
}

impl Faults {
    /// The first `most` requests that are chosen go wrong.
    pub fn start(which: Which, fault: Fault, most: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = State { which, fault, most, count: AtomicUsize::new(0), over: AtomicBool::new(false) };
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        // Threads have the network of the thread that makes them.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.over.load(Ordering::SeqCst) {
                    break;
                }
                let state = Arc::clone(&shared);
                // Whoever hangs up has had enough.
                std::thread::spawn(move || state.serve(stream).ok());
            }
        });
        Ok(Self { address, state })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often something went wrong.
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::SeqCst).min(self.state.most)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        // It wakes up and sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// One request; the server and the client are told that no more come on this connection.
    fn serve(&self, mut client: TcpStream) -> Result<()> {
        let mut from = BufReader::new(client.try_clone()?);
        let mut head = String::new();
        from.read_line(&mut head)?;
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().context("no method")?, words.next().context("no target")?);
        let goes_wrong =
            (self.which)(method, target) && self.count.fetch_add(1, Ordering::SeqCst) < self.most;
        let mut length = 0;
        let mut request = head.clone() + "connection: close\r\n";
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if !lower.starts_with("connection:") {
                request += &line;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        match self.fault {
            Fault::Answer(status, text) if goes_wrong => {
                let length = text.len();
                write!(
                    client,
                    "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
                )?;
                return Ok(client.shutdown(Shutdown::Write)?);
            }
            Fault::Slow(time) if goes_wrong => std::thread::sleep(time),
            _ => {}
        }
        let mut server = TcpStream::connect(SERVER)?;
        server.write_all(request.as_bytes())?;
        server.write_all(&body)?;
        let mut answer = vec![];
        server.read_to_end(&mut answer)?;
        let middle = answer.len() / 2;
        match self.fault {
            Fault::Cut if goes_wrong => answer.truncate(middle),
            Fault::Change if goes_wrong => answer[middle] ^= 1,
            _ => {}
        }
        client.write_all(&answer)?;
        Ok(client.shutdown(Shutdown::Write)?)
    }
}
