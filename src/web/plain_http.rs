//! Plain HTTP that comes to a port of TLS: recognised by its first byte, and answered in words instead of
//! with an alert that no HTTP client can read.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What whoever forgot the s is told. No request is looked at, so nothing depends on who asks.
const ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                      Content-Length: 57\r\nConnection: close\r\n\r\n\
                      this port speaks TLS: write https:// instead of http://\r\n";

/// Waits for the first byte, without taking it: methods begin with a letter, and a TLS handshake with 22
/// (RFC 8446, section 5.1).
pub(super) async fn is_spoken(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? > 0 && first.iter().all(u8::is_ascii_alphabetic))
}

/// Answers, and reads on until the client closes or has sent `most` bytes: what is unread when a socket is
/// closed would take the answer with it.
pub(super) async fn answer(mut stream: TcpStream, most: usize) -> io::Result<()> {
    stream.write_all(ANSWER.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = stream.take(u64::try_from(most).unwrap_or(u64::MAX));
    tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ANSWER;

    #[test]
    fn the_answer_says_its_length() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
    }
}
