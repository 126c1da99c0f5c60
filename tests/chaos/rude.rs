//! Clients that nobody would invite.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::dice::Dice;
use crate::world::{World, count};

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n";

/// One after the other until the end.
pub(crate) async fn clients(world: Arc<World>, until: Instant, number: u64) -> Result<(), String> {
    let mut dice = world.dice(10 + number);
    while Instant::now() < until {
        let mut stream = TcpStream::connect(world.exporter.address)
            .await
            .map_err(|error| format!("a client cannot connect: {error}"))?;
        // Whatever becomes of it is the client's own fault.
        let _ = timeout(Duration::from_secs(1), misbehave(&mut stream, &mut dice)).await;
        count(&world.counted.rude);
    }
    Ok(())
}

async fn misbehave(stream: &mut TcpStream, dice: &mut Dice) -> std::io::Result<()> {
    match dice.next() % 7 {
        // Sends nothing.
        0 => sleep(Duration::from_millis(dice.between(1, 800))).await,
        // A byte at a time, and not to the end.
        1 => {
            for byte in REQUEST {
                stream.write_all(std::slice::from_ref(byte)).await?;
                sleep(Duration::from_millis(dice.between(1, 40))).await;
            }
        }
        // Closes its half, or leaves, in the middle of the request.
        2 => {
            stream.write_all(&REQUEST[..20]).await?;
            stream.shutdown().await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
        }
        // Garbage.
        3 => {
            let garbage: Vec<u8> = (0..dice.between(1, 5_000))
                .map(|_| dice.next().to_le_bytes()[0])
                .collect();
            stream.write_all(&garbage).await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
        }
        // Leaves within the reply.
        4 => {
            stream.write_all(REQUEST).await?;
            let mut some = [0; 100];
            stream.read_exact(&mut some).await?;
        }
        // Asks a hundred times at once and reads nothing.
        5 => {
            stream.write_all(&REQUEST.repeat(100)).await?;
            sleep(Duration::from_millis(dice.between(1, 500))).await;
        }
        // Heads without end.
        _ => {
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").await?;
            for _ in 0..2_000 {
                stream
                    .write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                    .await?;
            }
        }
    }
    Ok(())
}
