//! What the options say of the session, made into what the engine, the keeper and the server are told.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use reqwest::Method;
use reqwest::header::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::injection::Injection;
use super::keeper::Keeping;
use crate::cli::UsageError;
use crate::cli::session::{OnExpired, Profile, Renew, Session as Options};
use crate::engine::lease::io::Act;
use crate::engine::upstream::Inject;
use crate::engine::{lease, upstream};
use crate::gateway::{self, Auth, Disguise, Door, Entrance, Renewals, Upstream};
use crate::http;
use crate::mask::Mask;
use crate::pattern::Pattern;
use crate::token::renewal::Api;
use crate::token::{Form, Place, Vault};

/// What a session token of the daemon begins with.
const WAIAAS_PREFIX: &str = "wai_sess_";
/// Where the daemon listens if it is not told otherwise.
const WAIAAS_BASE_URL: &str = "http://127.0.0.1:3100";

/// What its server is not to have: the token, what leads to it, and what would issue others.
const WAIAAS_SECRETS: [&str; 5] = [
    "WAIAAS_DATA_DIR",
    "WAIAAS_SESSION_TOKEN",
    "WAIAAS_MASTER_PASSWORD",
    "WAIAAS_MASTER_PASSWORD_FILE",
    "MCP_SUPERVISE_TOKEN_FILE",
];

/// What a failed tool says when the API behind it has refused the token, in the words of most.
const REFUSED: &str = r"(?i)\b(https?|status|code|error)(\s*(is|was|code|status)\b)?\W{0,4}401\b|^\W*401\b|\(401\)|\bunauthori[sz]ed\b|\b(INVALID_TOKEN|TOKEN_EXPIRED|SESSION_REVOKED)\b|\b(token|session)[\s_-]+((has|is)[\s_-]+)?expired\b|\bexpired[\s_-]+(token|session)\b";
/// Where programs look for a proxy.
const PROXIES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Where the gateway is, in the words of those who list what needs no proxy.
const GATEWAY: &str = "127.0.0.1";

/// A session as it is set up.
pub(super) struct Session {
    /// For the engine.
    pub(super) engine: upstream::Session,
    /// For the keeper.
    pub(super) keeping: Keeping,
    /// How the keeper is told what to do.
    pub(super) acts: mpsc::UnboundedSender<Act>,
    /// The server's variables: to be set, or to be kept from it.
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    /// Where the server gets the token itself. `None` where it does not.
    pub(super) injection: Option<Injection>,
}

/// The options, with what the profile stands for.
struct Settled {
    place: Option<Place>,
    token_env: Option<OsString>,
    form: Form,
    upstream: Option<Upstream>,
    inject_env: Option<OsString>,
    upstream_env: Option<OsString>,
    stand_in_env: Option<OsString>,
    hidden: Vec<OsString>,
    renew: Option<Renew>,
    /// Whether we do that by the clock. Else only when the server asks for it.
    renews: bool,
    remedy: String,
}

/// What these options ask for. `None` if nothing.
///
/// # Errors
/// If they do not fit together, and how they would; or the gateway cannot listen.
pub(super) fn set_up(options: &Options, mask: &Mask, seed: u64) -> Result<Option<Session>> {
    let settled = settle(options)?;
    let way = way(options, &settled)?;
    if way == Way::None {
        return Ok(None);
    }
    let auth = auth(options)?;
    let api = api(options, &settled, &auth)?;
    if api.is_some() && settled.renews && settled.place.is_none() {
        return Err(misuse(
            "a token that is renewed must be kept in a file",
            "name one with --token-file FILE: what a variable holds is worth nothing after the first renewal",
        ));
    }
    if let Some(file) = &options.upstream_ca {
        http::certificates(file).map_err(|fault| {
            misuse(&format!("failed to {fault}"), "--upstream-ca takes a file with certificates in PEM")
        })?;
    }
    let mut env: Vec<(OsString, Option<OsString>)> =
        settled.hidden.iter().map(|name| (name.clone(), None)).collect();
    let environment =
        settled.token_env.as_deref().and_then(env::var_os).map(|text| text.to_string_lossy().into_owned());
    let environment = environment.filter(|text| !text.trim().is_empty()).map(SecretString::from);
    env.extend(settled.token_env.clone().map(|name| (name, None)));
    let shown = settled.upstream.as_ref().map(|upstream| mask.apply(&upstream.to_string()).into_owned());
    let open_way = settled.upstream.as_ref().filter(|upstream| upstream.is_open()).map(|_| shown.clone());
    let open_way = open_way.flatten().filter(|_| matches!(way, Way::Gateway(..)));
    let vault = Arc::new(Mutex::new(Vault::default()));
    let (mut gateway, mut injection, mut inject) = (None, None, None);
    match way {
        Way::None => {}
        Way::Gateway(upstream, url_env) => {
            let random = "failed to get random bytes for the gateway";
            let prefix = settled.form.prefix.clone();
            let stand_in = gateway::stand_in(&prefix, Clock::wall()).context(random)?;
            let secret = match settled.stand_in_env {
                Some(_) => stand_in.clone(),
                None => gateway::random_path().context(random)?,
            };
            let entrance = match settled.stand_in_env {
                Some(_) => Entrance::StandIn(secret.clone()),
                None => Entrance::Path(secret.clone()),
            };
            mask.learn(&secret);
            let renewals =
                api.as_ref().and_then(|api| Renewals::new(&api.method, &api.url, upstream.origin()));
            let disguise = Disguise { stand_in, prefix };
            let is_waiaas = settled.renew == Some(Renew::Waiaas);
            let (probe, forgets_sessions) =
                (if is_waiaas { "/v1/connect-info" } else { "/" }.to_owned(), options.profile.is_some());
            let timeout = Some(options.upstream_timeout).filter(|timeout| !timeout.is_zero());
            let options = gateway::Options {
                upstream,
                auth,
                entrance,
                renewals,
                disguise,
                probe,
                forgets_sessions,
                timeout,
            };
            let door = Door::open().context("failed to listen on 127.0.0.1 for the gateway")?;
            env.push((url_env, Some(OsString::from(door.url(&options).expose_secret()))));
            env.extend(settled.stand_in_env.map(|name| (name, Some(OsString::from(secret.expose_secret())))));
            env.extend(past_proxies(|name| {
                env.iter().all(|(other, _)| other != name).then(|| env::var_os(name))?
            }));
            gateway = Some((door, options));
        }
        Way::Variable(name) => {
            let refused = match &options.refused_pattern {
                None => Pattern::known(REFUSED),
                Some(text) => text.parse().map_err(|why| {
                    let what = format!("--refused-pattern is no regular expression: {why}");
                    misuse(&what, "write it as (?i)401|unauthorized")
                })?,
            };
            inject = Some(Inject { refused, repeat: options.repeat_on_401 });
            injection = Some(Injection::new(name, Arc::clone(&vault)));
        }
    }
    let (acts, told) = mpsc::unbounded_channel();
    let renew_at = (api.is_some() && settled.renews).then_some(options.renew_at);
    Ok(Some(Session {
        engine: upstream::Session {
            lease: lease::Options { renew_at, seed },
            on_expired: match options.on_expired {
                OnExpired::Answer => upstream::OnExpired::Answer,
                OnExpired::Relay => upstream::OnExpired::Relay,
            },
            api: shown,
            remedy: settled.remedy,
            inject,
        },
        keeping: Keeping {
            place: settled.place,
            environment,
            form: settled.form,
            api,
            ca: options.upstream_ca.clone(),
            open_way,
            gateway,
            vault,
            mask: mask.clone(),
            acts: told,
        },
        acts,
        env,
        injection,
    }))
}

/// How the server comes by the token.
#[derive(PartialEq, Eq)]
enum Way {
    /// No session is asked for.
    None,
    /// The gateway to this API puts it on each request; the server is told the gateway's address in this variable.
    Gateway(Upstream, OsString),
    /// It gets the token itself, in this variable.
    Variable(OsString),
}

/// Which way these options ask for.
fn way(options: &Options, settled: &Settled) -> Result<Way> {
    let token = settled.place.is_some() || settled.token_env.is_some();
    let to_file =
        "name the file that it is kept in, with --token-file FILE, or a variable, with --token-env VAR";
    let for_inject = [
        ("--refused-pattern", options.refused_pattern.is_some()),
        ("--repeat-on-401", options.repeat_on_401),
    ];
    if let (None, Some((option, _))) = (&settled.inject_env, for_inject.iter().find(|(_, named)| *named)) {
        let what = format!("{option} says what follows for a server that gets the token itself");
        return Err(misuse(&what, "name the variable in which it gets the token, with --inject-env VAR"));
    }
    match (settled.inject_env.clone(), settled.upstream.clone(), settled.upstream_env.clone()) {
        (Some(variable), ..) if variable == "PATH" => Err(misuse(
            "--inject-env PATH would leave the server without a PATH",
            "name the variable in which the server looks for its token",
        )),
        (Some(variable), ..) if token => Ok(Way::Variable(variable)),
        (Some(_), ..) => Err(misuse("--inject-env needs a token to give to the server", to_file)),
        (None, Some(upstream), Some(url_env)) if token => Ok(Way::Gateway(upstream, url_env)),
        (None, Some(_), Some(_)) => Err(misuse("--upstream needs a token to put on the requests", to_file)),
        (None, Some(_), None) => Err(misuse(
            "--upstream needs a way to tell the server the gateway's address",
            "name the variable in which the server looks for its API's address, with --upstream-env VAR",
        )),
        (None, None, url_env) => {
            let named = [
                ("--token-file", options.token_file.is_some()),
                ("--token-env", options.token_env.is_some()),
                ("--upstream-env", url_env.is_some()),
                ("--stand-in-env", options.stand_in_env.is_some()),
                ("--upstream-ca", options.upstream_ca.is_some()),
                ("--renew", options.renew == Some(Renew::Waiaas)),
                ("--renew-url", options.renew_url.is_some()),
            ];
            match named.iter().find(|(_, named)| *named) {
                None => Ok(Way::None),
                Some((option, _)) => Err(misuse(
                    &format!("{option} needs a way in which the server comes by the token"),
                    "name the API that the server is to reach through the gateway, with --upstream URL, or the variable in \
                     which it is to get the token, with --inject-env VAR, or take --profile waiaas",
                )),
            }
        }
    }
}

/// Options that do not fit together, and what would.
fn misuse(what: &str, hint: &str) -> anyhow::Error {
    UsageError { text: format!("error: {what}\n"), hint: hint.to_owned() }.into()
}

fn settle(options: &Options) -> Result<Settled> {
    let mut settled = Settled {
        place: options.token_file.clone().map(Place::new),
        token_env: options.token_env.clone(),
        form: Form { prefix: options.token_prefix.clone().unwrap_or_default(), opaque: true },
        upstream: options.upstream.as_deref().map(|text| parse_upstream(text, "--upstream")).transpose()?,
        inject_env: options.inject_env.clone(),
        upstream_env: options.upstream_env.clone(),
        stand_in_env: options.stand_in_env.clone(),
        hidden: options.hide_env.clone(),
        renew: options.renew.filter(|renew| *renew != Renew::None),
        renews: options.renew != Some(Renew::None),
        remedy: String::new(),
    };
    if options.profile == Some(Profile::Waiaas) {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        if settled.upstream.is_none() {
            let base = text("WAIAAS_BASE_URL").unwrap_or_else(|| WAIAAS_BASE_URL.to_owned());
            settled.upstream = Some(parse_upstream(&base, "WAIAAS_BASE_URL")?);
        }
        if settled.place.is_none() {
            let directory = match variable("WAIAAS_DATA_DIR") {
                Some(directory) => PathBuf::from(directory),
                None => {
                    etcetera::home_dir().context("failed to find the token: HOME is not set")?.join(".waiaas")
                }
            };
            settled.place = Some(match text("WAIAAS_WALLET_ID") {
                Some(wallet) => Place::of_wallet(&directory, &wallet).map_err(|why| {
                    let what = format!("the variable WAIAAS_WALLET_ID cannot be used: {why}");
                    misuse(&what, "write the wallet's id into it")
                })?,
                None => Place::of_no_wallet(&directory),
            });
        }
        let token = || Some(OsString::from("WAIAAS_SESSION_TOKEN"));
        settled.token_env = settled.token_env.or_else(token);
        settled.stand_in_env = settled.stand_in_env.or_else(token);
        settled.upstream_env = settled.upstream_env.or_else(|| Some("WAIAAS_BASE_URL".into()));
        settled.hidden.extend(WAIAAS_SECRETS.map(OsString::from));
        if options.token_prefix.is_none() {
            settled.form = Form { prefix: WAIAAS_PREFIX.to_owned(), opaque: false };
        }
        // Also where we are not to renew: what a server renews itself must be known.
        if options.renew_url.is_none() {
            settled.renew = Some(Renew::Waiaas);
        }
    }
    let wallet = env::var_os("WAIAAS_WALLET_ID").is_some_and(|id| !id.is_empty());
    settled.remedy = match options.profile {
        Some(Profile::Waiaas) if options.token_file.is_none() && wallet => {
            "Run `mcp-supervise setup` in a terminal, with the WAIAAS_ variables of the host's configuration, to begin \
             another session; it is used at once, and nothing need be restarted."
                .to_owned()
        }
        Some(Profile::Waiaas) if options.token_file.is_none() => {
            "Run `mcp-supervise setup --together` in a terminal, with the WAIAAS_ variables of the host's configuration, to \
             begin another session; it is used at once, and nothing need be restarted."
                .to_owned()
        }
        _ => remedy(settled.place.as_ref(), settled.token_env.as_deref()),
    };
    Ok(settled)
}

fn remedy(place: Option<&Place>, token_env: Option<&OsStr>) -> String {
    match (place, token_env) {
        (Some(place), _) => {
            format!(
                "Put a new token into {}; it is used at once, and nothing need be restarted.",
                place.path().display()
            )
        }
        (None, Some(name)) => format!(
            "Put a new token into the variable {} in the host's configuration, and start the host again.",
            name.display()
        ),
        (None, None) => String::new(),
    }
}

fn parse_upstream(text: &str, from: &str) -> Result<Upstream> {
    text.parse::<Upstream>().map_err(|why| {
        let what = format!("the API's address in {from} cannot be used: {why}");
        misuse(&what, "write it as http://127.0.0.1:3100, or as https://HOST/BASE")
    })
}

fn auth(options: &Options) -> Result<Auth> {
    let header = HeaderName::from_bytes(options.auth_header.as_bytes()).map_err(|_| {
        misuse(
            &format!("--auth-header {:?} is no name of a header", options.auth_header),
            "write it as x-api-key",
        )
    })?;
    let scheme = options.auth_scheme.clone();
    if !scheme.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!("--auth-scheme {scheme:?} is more than a word");
        return Err(misuse(&what, "write it as Bearer, or leave it empty"));
    }
    Ok(Auth { header, scheme })
}

/// How the token is renewed. `None`: not by us.
fn api(options: &Options, settled: &Settled, auth: &Auth) -> Result<Option<Api>> {
    let own = |url: String, method, token_at: &str| Api {
        method,
        url,
        token_at: token_at.to_owned(),
        header: auth.header.clone(),
        scheme: auth.scheme.clone(),
    };
    if let Some(url) = &options.renew_url {
        let method = Method::from_bytes(options.renew_method.to_uppercase().as_bytes()).map_err(|_| {
            misuse(
                &format!("--renew-method {:?} is no method", options.renew_method),
                "write it as POST or PUT",
            )
        })?;
        // With an id in it, as it will be.
        let parsed = reqwest::Url::parse(&url.replace("{session}", "id"));
        if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            let hint = "write it as https://HOST/PATH, with {session} for the session's id";
            return Err(misuse("--renew-url is no address", hint));
        }
        return Ok(Some(own(url.clone(), method, &options.renew_token_path)));
    }
    match (settled.renew, &settled.upstream) {
        (None | Some(Renew::None), _) => Ok(None),
        (Some(Renew::Waiaas), None) => Err(misuse(
            "--renew waiaas needs the API's address",
            "name it with --upstream URL, or the address of renewals with --renew-url URL",
        )),
        (Some(Renew::Waiaas), Some(upstream)) => {
            let url = format!("{}/v1/sessions/{{session}}/renew", upstream.to_string().trim_end_matches('/'));
            Ok(Some(own(url, Method::PUT, "/token")))
        }
    }
}

/// Where the server is told of a proxy: the variables in which it is told not to ask it for the gateway, in each with what is
/// there, or in the other.
fn past_proxies(variable: impl Fn(&str) -> Option<OsString>) -> Vec<(OsString, Option<OsString>)> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    if PROXIES.iter().all(|name| variable(name).is_none()) {
        return Vec::new();
    }
    let exceptions = |(name, other): (&str, &str)| {
        let mut hosts = variable(name).or_else(|| variable(other)).unwrap_or_default();
        let text = hosts.to_string_lossy();
        let has_it = text.split([',', ' ']).any(|host| host == GATEWAY) || text.trim() == "*";
        if !has_it {
            if !hosts.is_empty() {
                hosts.push(",");
            }
            hosts.push(GATEWAY);
        }
        (OsString::from(name), Some(hosts))
    };
    [("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")].map(exceptions).into()
}

#[cfg(test)]
mod tests {
    use super::REFUSED;
    use crate::pattern::Pattern;

    #[test]
    fn a_refusal_is_known_by_its_words_and_a_number_alone_is_none() {
        let refused = Pattern::known(REFUSED);
        for text in [
            "HTTP 401",
            "401 Unauthorized",
            "Request failed with status code 401",
            r#"{"status":401,"code":"TOKEN_EXPIRED"}"#,
            "Error: 401",
            "the session is over (401)",
            "Unauthorised",
            "token expired",
            "Your session has expired.",
            "an expired token",
            r#"{"session_expired":true}"#,
        ] {
            assert!(refused.is_in(text), "{text}");
        }
        for text in [
            "Issue #401 was not found",
            "timeout after 12.401 s",
            "main.rs:401: unexpected token",
            "row 1,401 has no price",
            "only 200, 401 and 403 are allowed",
            "not enough money: 401 USDC are missing",
            "the offer has expired",
        ] {
            assert!(!refused.is_in(text), "{text}");
        }
    }
}
