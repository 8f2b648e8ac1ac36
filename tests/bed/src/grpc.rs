//! One gRPC call on a Unix socket of a guest, made in the guest by the program that is its agent: bytes of a message
//! there, bytes of the answer back, in hexadecimal. What the messages mean is known to whoever asks.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use prost::Message;
use prost::bytes::{Buf, BufMut};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

use crate::{Bed, GuestCommand, Result, Vm};

/// How long the guest is waited for after a call's time is up.
const GRACE: Duration = Duration::from_secs(20);

/// Calls a method, such as `/csi.v1.Node/NodeGetInfo`, on a socket of the guest.
///
/// # Errors
/// When it could not be called. The service's own refusal is the inner error.
pub fn call<T: Message + Default>(
    (bed, vm): (&Bed, &Vm),
    socket: &str,
    method: &str,
    request: &impl Message,
    patience: Duration,
) -> Result<Result<T, Status>> {
    let (seconds, message) = (patience.as_secs().to_string(), hex(&request.encode_to_vec()));
    let command = GuestCommand::new(bed.agent()).args(["call", socket, method, &seconds, &message]);
    let said = vm.must(command.patience(patience + GRACE))?;
    let (code, rest) = said.split_once(' ').unwrap_or((&said, ""));
    let code = Code::from_i32(code.parse().with_context(|| format!("{said:?} is no answer"))?);
    let bytes = unhex(rest).with_context(|| format!("{said:?} is no answer"))?;
    match code {
        Code::Ok => Ok(Ok(T::decode(bytes.as_slice())?)),
        code => Ok(Err(Status::new(code, String::from_utf8_lossy(&bytes)))),
    }
}

/// The guest's half: prints the code, and the answer or why there is none.
///
/// # Errors
/// When nothing can be called.
pub fn answer(socket: &Path, method: &str, patience: Duration, request: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (code, bytes) = match runtime.block_on(unary(socket, method, patience, unhex(request)?)) {
        Ok(answer) => (Code::Ok, answer),
        Err(status) => (status.code(), status.message().as_bytes().to_vec()),
    };
    println!("{} {}", code as i32, hex(&bytes));
    Ok(())
}

async fn unary(socket: &Path, method: &str, patience: Duration, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    let unavailable = |error: &dyn std::error::Error| Status::unavailable(format!("{}: {error}", socket.display()));
    let endpoint =
        Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(|error| unavailable(&error))?;
    let channel = endpoint.connect().await.map_err(|error| unavailable(&error))?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| unavailable(&error))?;
    let method = PathAndQuery::try_from(method).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let mut request = Request::new(request);
    request.set_timeout(patience);
    Ok(client.unary(request, method, Bytes).await?.into_inner())
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; from.remaining()];
        from.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    if !text.is_ascii() || text.len() % 2 == 1 {
        bail!("{text:?} is not hexadecimal");
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|error| anyhow!("{text:?}: {error}"));
    (0..text.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_travel_as_text() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes)).unwrap(), bytes);
        assert!(unhex("").unwrap().is_empty());
        for bad in ["0", "0g", "é0"] {
            assert!(unhex(bad).is_err(), "{bad}");
        }
    }
}
