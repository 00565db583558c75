//! What pages load: part of the program, under addresses that change with the content, so that browsers keep them
//! for good.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::sync::OnceCell;

use super::answer;
use crate::{
    aside::aside,
    body::Body,
    classify::coding::{Accepted, Coding},
    respond::coded::coded,
};

const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const CODINGS: [Coding; 2] = [Coding::Brotli, Coding::Gzip];

/// The addresses, for templates.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) htmx: String,
    pub(super) icon: String,
}

/// All of them, named when somebody asks for the first page.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::new);

/// All assets, each compressed once, for the first who takes it so.
pub(super) struct Assets {
    pub(super) addresses: Addresses,
    files: Vec<File>,
}

struct File {
    address: String,
    media: &'static str,
    plain: Bytes,
    coded: [(Coding, OnceCell<Option<Bytes>>); CODINGS.len()],
}

impl File {
    fn new(stem: &str, ending: &str, media: &'static str, text: &'static [u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, text);
        let hash: String = digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let plain = Bytes::from_static(text);
        let coded = CODINGS.map(|coding| (coding, OnceCell::new()));
        Self { address: format!("/ui/assets/{stem}-{hash}.{ending}"), media, plain, coded }
    }

    /// As it is accepted, or as it is.
    async fn body(&self, accepted: Coding) -> (Coding, Bytes) {
        let Some((coding, made)) = self.coded.iter().find(|(coding, _)| *coding == accepted) else {
            return (Coding::Identity, self.plain.clone());
        };
        let (plain, coding) = (self.plain.clone(), *coding);
        let make = || async move { aside(move || coded(&plain, coding)).await.flatten() };
        let made = made.get_or_init(make).await;
        made.clone().map_or_else(|| (Coding::Identity, self.plain.clone()), |made| (coding, made))
    }
}

impl Assets {
    fn new() -> Self {
        let style = File::new("app", "css", "text/css; charset=utf-8", include_bytes!("assets/app.css"));
        let script =
            File::new("app", "js", "text/javascript; charset=utf-8", include_bytes!("assets/app.js"));
        let htmx = File::new(
            "htmx",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("assets/htmx-2.0.11.min.js"),
        );
        let icon = File::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg"));
        let addresses = Addresses {
            style: style.address.clone(),
            script: script.address.clone(),
            htmx: htmx.address.clone(),
            icon: icon.address.clone(),
        };
        Self { addresses, files: vec![style, script, htmx, icon] }
    }

    /// The file at this path, where there is one.
    pub(super) async fn answer(&self, path: &str, request: &HeaderMap) -> Option<Response<Body>> {
        let file = self.files.iter().find(|file| file.address == path)?;
        let accepted = Accepted::read(request).map_or(Coding::Identity, |accepted| accepted.coding);
        let (coding, body) = file.body(accepted).await;
        let mut answer = answer::own(StatusCode::OK, file.media, body);
        let fields = answer.headers_mut();
        fields.insert(header::CACHE_CONTROL, FOREVER);
        answer::say_coding(fields, coding);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    #[test]
    fn what_is_vendored_is_what_its_note_says() {
        let digest = ring::digest::digest(&ring::digest::SHA384, include_bytes!("assets/htmx-2.0.11.min.js"));
        let hash = format!("sha384-{}", STANDARD.encode(digest));
        assert!(include_str!("assets/VENDORED.txt").lines().any(|line| line == hash), "{hash}");
    }
}
