// The page of `search serve`. Names of files come from outside: they are set as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);
const DEBOUNCE = 160;

/** What is being searched for, and what was found. */
const state = { results: [], like: null, picture: null, clips: -1, request: null, timer: 0, nearest: false, open: null, opener: null, status: {} };

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Seconds as people write them: 0:07, 1:02:03. */
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

async function answer(address, options) {
  const response = await fetch(address, options);
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `the server answered ${response.status}`);
  return body;
}

// --- searching

function parameters() {
  const asked = new URLSearchParams({ q: at("query").value.trim(), top: "48" });
  const filters = { in: at("folder").value, after: at("after").value, longer: at("longer").value, index: at("index").value };
  for (const [name, value] of Object.entries(filters)) if (value) asked.set(name, value);
  if (state.like) asked.set("like", state.like.id);
  return asked;
}

/** The indexes that are asked, each by its own model: the chosen one or all; a clip is like clips of its own index. */
function askedIndexes() {
  const all = state.status.indexes || [{ number: 0, index: "" }];
  const chosen = state.like ? String(state.like.id.split("-")[0].split("~")[1] || 0) : at("index").value;
  return chosen ? all.filter(({ number }) => String(number) === chosen) : all;
}

/** Searches after a pause in typing; `thorough` lets the fusion encoder look at the best as well. */
function searchSoon(delay = DEBOUNCE, thorough = false) {
  clearTimeout(state.timer);
  state.timer = setTimeout(() => search(thorough), delay);
}

async function search(thorough) {
  if (state.request) state.request.abort();
  const asked = parameters();
  remember(asked);
  if (!asked.get("q") && !state.like && !state.picture) return show([{ results: [], query: "", empty: true }]);
  if (!asked.get("q") && state.like) return similar(state.like);
  const request = new AbortController();
  state.request = request;
  at("results").classList.add("stale");
  try {
    if (thorough) asked.set("rerank", "16");
    const options = { signal: request.signal };
    const ask = async ({ number, index }) => {
      const own = new URLSearchParams(asked);
      if (number) own.set("index", number); else own.delete("index");
      const found = state.picture
        ? await answer(`/api/picture?${own}`, { ...options, method: "POST", body: state.picture })
        : await answer(`/api/search?${own}`, options);
      return { ...found, index, address: state.picture ? null : `/api/search?${own}` };
    };
    const found = await Promise.all(askedIndexes().map(ask));
    if (state.request === request) show(found);
  } catch (problem) {
    if (problem.name !== "AbortError") say(problem.message);
  } finally {
    if (state.request === request) {
      state.request = null;
      at("results").classList.remove("stale");
    }
  }
}

/** The address of the page holds the query, so that it can be kept and shared. */
function remember(asked) {
  const kept = new URLSearchParams(asked);
  kept.delete("top");
  history.replaceState(null, "", kept.get("q") || kept.get("like") ? `#${kept}` : "#");
}

function say(text, nothing = false) {
  at("message").textContent = text;
  at("message").classList.toggle("nothing", nothing);
}

/** Shows what each index answered, one after the other: scores of two models are not to be compared. */
function show(answers) {
  const several = answers.length > 1;
  const parts = answers.map((found) => {
    const unfit = found.fits === false && found.calibrated && !state.nearest;
    return { found, unfit, results: unfit ? [] : found.results };
  });
  const words = answers.flatMap((found) => found.words || []);
  state.results = parts.flatMap(({ results }) => results);
  at("nearest").hidden = !parts.some(({ found, unfit }) => unfit && found.results.length);
  if (answers[0].empty) say(state.clips > 0 ? "" : "No video is indexed yet.");
  else say(parts.map((part) => (several ? `${part.found.index}: ` : "") + verdict(part)).filter(Boolean).join(" "), !state.results.length);
  at("results").replaceChildren(...parts.flatMap(({ found, results }) => [
    ...(several ? [make("li", "index", found.index)] : []),
    ...results.map(card),
  ]));
  showWords(words, answers[0].query || "");
  const address = several ? null : answers[0].address;
  at("save").hidden = !address || !(state.results.length || words.length);
  if (address) for (const format of ["csv", "m3u", "edl"]) at(`save-${format}`).href = `${address}&format=${format}`;
}

/** What there is to say of an answer. */
function verdict({ found, unfit, results }) {
  const what = found.query ? `“${found.query}”` : state.picture ? "this picture" : "this";
  const warnings = (found.warnings || []).join("; ");
  const closer = found.fits === false && !found.reranked && found.query ? "Enter looks closer." : "";
  const nothing = unfit || !results.length;
  const where = found.words && found.words.length ? "No clip in here shows" : "Nothing in here fits";
  const perhaps = found.fits === false ? `Perhaps ${where.charAt(0).toLowerCase()}${where.slice(1)} ${what}; the nearest are shown.` : "";
  return [nothing ? `${where} ${what}.` : perhaps, closer, warnings].filter(Boolean).join(" ");
}

/** What is said in the videos: a list of its own, since its scores are of another kind. */
function showWords(words, query) {
  at("said").hidden = !words.length;
  at("words").replaceChildren(...words.map((said) => {
    const item = make("li");
    const play = make("button", "said");
    play.type = "button";
    const text = make("span", "text");
    text.append("“", ...marked(said.text, query), "”");
    const how = said.literal > 0 ? "words" : "words, by meaning";
    play.append(make("span", "kind", how), text, make("span", "place", `${said.name} · ${clock(said.start)}`));
    play.title = said.file;
    play.addEventListener("click", () => openPlayer(said, play));
    item.append(play);
    return item;
  }));
}

/** `text` as pieces, the words of `query` marked. */
function marked(text, query) {
  const words = new Set(query.toLowerCase().match(/[\p{L}\p{N}]+/gu) || []);
  return text.split(/([\p{L}\p{N}]+)/u).map((piece) => (words.has(piece.toLowerCase()) ? make("mark", "", piece) : piece));
}

function card(result) {
  const item = make("li", "card");
  const play = make("button", "play");
  play.type = "button";
  play.setAttribute("aria-label", `Play ${result.name} from ${clock(result.start)} to ${clock(result.end)}`);
  const picture = make("img");
  picture.alt = "";
  picture.loading = "lazy";
  picture.decoding = "async";
  picture.src = `/thumb/${result.id}?n=1`;
  play.append(picture, make("span", "clock", `${clock(result.start)}–${clock(result.end)}`));
  play.addEventListener("click", () => openPlayer(result, play));
  moments(play, picture, result);
  const facts = make("div", "facts");
  const name = make("div", "name", result.name);
  name.title = result.file;
  const detail = make("div", "detail");
  const like = make("button", "", "More like this");
  like.type = "button";
  like.addEventListener("click", () => moreLike(result));
  detail.append(make("span", "", `${result.score.toFixed(2)} · ${new Date(result.modified_ms).toISOString().slice(0, 10)}`), like);
  facts.append(name, detail);
  item.append(play, facts);
  return item;
}

/** Shows the other moments of a clip while a pointer rests on it. */
function moments(play, picture, result) {
  let timer = 0;
  let moment = 1;
  play.addEventListener("pointerenter", () => {
    timer = setInterval(() => { picture.src = `/thumb/${result.id}?n=${(moment = (moment + 1) % 4)}`; }, 700);
  });
  play.addEventListener("pointerleave", () => clearInterval(timer));
}

function moreLike(result) {
  closePlayer();
  state.picture = null;
  state.like = result;
  at("query").value = "";
  chip(`/thumb/${result.id}?n=1`, `like ${result.name}, ${clock(result.start)}`);
  similar(result);
}

async function similar(result) {
  try {
    const asked = parameters();
    for (const name of ["q", "like", "index"]) asked.delete(name);
    asked.set("id", result.id);
    const found = await answer(`/api/similar?${asked}`);
    show([{ ...found, query: "", address: `/api/similar?${asked}` }]);
    window.scrollTo(0, 0);
  } catch (problem) {
    say(problem.message);
  }
}

function chip(address, text) {
  at("like").hidden = !text;
  if (address) at("like-picture").src = address;
  at("like-name").textContent = text || "";
}

function clearLike() {
  state.like = state.picture = null;
  chip("", "");
}

function takePicture(file) {
  if (!file) return;
  if (file.size > 16 * 1024 * 1024) return say("The picture is larger than 16 MB.");
  clearLike();
  state.picture = file;
  chip(URL.createObjectURL(file), `like ${file.name}`);
  searchSoon(0);
}

// --- playing

function openPlayer(result, opener) {
  [state.open, state.opener] = [result, opener];
  at("player-name").textContent = result.name;
  at("player-span").textContent = `${clock(result.start)} to ${clock(result.end)}`;
  at("player-note").textContent = "";
  at("moments").hidden = true;
  const video = at("video");
  video.hidden = false;
  video.onerror = () => showInstead(result, `/preview/${result.id}`);
  video.onloadedmetadata = () => { if (Math.abs(video.currentTime - result.start) > 0.3) video.currentTime = result.start; };
  // A browser that plays the sound of a file alone has no picture to show.
  video.onloadeddata = () => { if (!video.videoWidth) video.onerror(); };
  video.src = `/video/${result.video}#t=${result.start.toFixed(2)},${result.end.toFixed(2)}`;
  if (!at("player").open) at("player").showModal();
  video.play().catch(() => {});
}

/** Where the browser cannot play a file: its moments as pictures, and a transcoded preview where there is ffmpeg. */
function showInstead(result, preview) {
  const video = at("video");
  const pictures = [0, 1, 2, 3].map((n) => {
    const picture = make("img");
    picture.alt = `Moment ${n + 1} of the clip`;
    picture.src = `/thumb/${result.id}?n=${n}`;
    return picture;
  });
  at("moments").replaceChildren(...pictures);
  at("moments").hidden = false;
  video.hidden = true;
  if (!state.status.ffmpeg || !preview) {
    at("player-note").textContent = "This browser cannot play the file.";
    return;
  }
  at("player-note").textContent = "This browser cannot play the file; a preview is being made.";
  video.onerror = () => showInstead(result, null);
  video.onloadedmetadata = () => {};
  video.onloadeddata = () => {
    video.hidden = false;
    at("moments").hidden = true;
    at("player-note").textContent = "A preview of the clip, without sound.";
    video.play().catch(() => {});
  };
  video.src = preview;
}

function closePlayer() {
  const video = at("video");
  video.onerror = video.onloadedmetadata = video.onloadeddata = null;
  video.removeAttribute("src");
  video.load();
  if (at("player").open) at("player").close();
}

// --- keys

function plays() {
  return [...document.querySelectorAll(".play")];
}

/** Cards of one row. */
function columns(cards) {
  const top = cards[0].getBoundingClientRect().top;
  const next = cards.findIndex((one) => one.getBoundingClientRect().top > top + 1);
  return next < 0 ? cards.length : next;
}

function move(key) {
  const cards = plays();
  if (!cards.length) return false;
  const now = cards.indexOf(document.activeElement);
  if (now < 0) {
    if (document.activeElement === at("query") && key !== "ArrowDown") return false;
    cards[0].focus();
    return true;
  }
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(cards), ArrowDown: columns(cards) }[key];
  const next = now + step;
  if (next < 0 && key === "ArrowUp") at("query").focus();
  else if (cards[next]) cards[next].focus();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("player").open) return;
  const writing = ["INPUT", "SELECT"].includes(document.activeElement.tagName);
  const place = plays().indexOf(document.activeElement);
  let taken = true;
  if (event.key === "/" && !writing) at("query").focus(), at("query").select();
  else if (event.key === "Escape" && document.activeElement === at("query")) at("query").blur();
  else if (event.key === "Escape") at("query").focus();
  else if (event.key.startsWith("Arrow") && (!writing || document.activeElement === at("query"))) taken = move(event.key);
  else if (event.key.toLowerCase() === "m" && place >= 0) moreLike(state.results[place]);
  else taken = false;
  if (taken) event.preventDefault();
});

// --- what the index is doing

async function refresh() {
  let wait = 3000;
  try {
    const status = await answer(`/api/status?index=${at("index").value || 0}`);
    const clips = status.indexes.reduce((sum, one) => sum + one.clips + one.words, 0);
    const grown = state.clips >= 0 && clips !== state.clips;
    state.status = status;
    fillIndexes(status.indexes);
    if (clips !== state.clips) await fillFolders();
    state.clips = clips;
    showStatus(status);
    if (grown) again();
    if (status.indexing.running) wait = 700;
  } catch {
    at("about").textContent = "The server does not answer.";
  }
  setTimeout(refresh, wait);
}

/** The same search over an index that has grown; not while a video plays. */
function again() {
  if (at("player").open || state.request || plays().includes(document.activeElement)) return;
  if (state.like && !at("query").value) similar(state.like);
  else searchSoon(0);
}

function showStatus(status) {
  const { running, done, total } = status.indexing;
  at("indexing").hidden = !running || !total;
  at("progress").value = total ? done / total : 0;
  at("indexing-text").textContent = `indexing: ${done} of ${total} videos`;
  const broken = status.broken.length ? `, ${status.broken.length} cannot be read` : "";
  const watched = status.folder ? ` · ${status.watching ? "watching" : "looking at"} ${status.folder}` : "";
  const problem = status.problem ? ` · ${status.problem}` : "";
  const many = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;
  const said = status.words ? `, ${many(status.words, "text")} of subtitles` : "";
  const others = status.indexes.filter(({ index }) => index !== status.index).map((one) => ` · ${one.index}: ${many(one.clips, "clip")}`);
  at("about").textContent = `${many(status.files, "video")}, ${many(status.clips, "clip")}${said}${broken} · ${status.index} by ${status.model}${watched}${problem}${others.join("")}`;
}

/** The entries of a choice, each a value and what is shown: `all`, which has no value, then `entries`. */
function fillChoice(name, all, entries) {
  const options = [["", all], ...entries].map(([value, shown]) => {
    const option = make("option", "", shown);
    option.value = value;
    return option;
  });
  at(name).replaceChildren(...options);
}

/** The choice of an index, where there are several. */
function fillIndexes(indexes) {
  const chosen = at("index").value || wanted.get("index") || "";
  at("indexes").hidden = indexes.length < 2;
  if (at("index").options.length === indexes.length + 1) return;
  fillChoice("index", "all indexes", indexes.map(({ number, index }) => [number, index]));
  at("index").value = indexes.length > 1 && indexes.some(({ number }) => String(number) === chosen) ? chosen : "";
}

/** The folders of the chosen index; those of several are not mixed. */
async function fillFolders() {
  const index = at("index").value;
  const one = index || state.status.indexes.length === 1;
  const { folders } = one ? await answer(`/api/folders?index=${index || 0}`) : { folders: [] };
  at("folder").disabled = !one;
  const chosen = at("folder").value || wanted.get("in") || "";
  fillChoice("folder", "all folders", folders.map(({ id, folder }) => [id, folder]));
  at("folder").value = folders.some(({ id }) => id === chosen) ? chosen : "";
}

// --- start

const wanted = new URLSearchParams(location.hash.slice(1));
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  searchSoon(0, true);
});
at("query").addEventListener("input", () => {
  state.nearest = false;
  searchSoon();
});
for (const id of ["folder", "after", "longer"]) at(id).addEventListener("change", () => searchSoon(0));
at("index").addEventListener("change", async () => {
  clearLike();
  at("folder").value = "";
  await fillFolders();
  searchSoon(0);
});
at("nearest").addEventListener("click", () => {
  state.nearest = true;
  searchSoon(0);
});
at("like-clear").addEventListener("click", () => {
  clearLike();
  searchSoon(0);
});
at("picture").addEventListener("change", (event) => takePicture(event.target.files[0]));
at("player-close").addEventListener("click", closePlayer);
at("player").addEventListener("close", () => {
  closePlayer();
  // A list that was drawn anew meanwhile has another button for it.
  if (state.opener && state.opener.isConnected) state.opener.focus();
});
at("player-like").addEventListener("click", () => moreLike(state.open));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") takePicture(event.dataTransfer.files[0]);
  });
}
at("query").value = wanted.get("q") || "";
at("after").value = wanted.get("after") || "";
at("longer").value = wanted.get("longer") || "";
refresh().then(() => { if (at("query").value) search(false); else show([{ results: [], empty: true }]); });
