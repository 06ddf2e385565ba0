import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from support.twilio_line import ACCOUNT, TOKEN, TwilioLine

from telephony.errors import NobodyListensError, UnreachableError
from telephony.simulators.events import Asked, Dialled, HangUp, HungUp, Keys, Nothing, Paused, Played, Recorded, Recording, Said, Words
from telephony.simulators.phone import STATUS, VOICE, Phone
from telephony.twiml import LIMIT


@asynccontextmanager
async def calling(documents, *, dials=None, token=TOKEN, **options):
    line = TwilioLine(documents)
    async with line.serving() as url, Phone(url, token, ACCOUNT, "+12025550199", "+15550100", **options) as phone:
        yield phone.call(dials), line


# The requests


async def test_a_call_begins_with_the_25_signed_fields_that_twilio_sends():
    async with calling({VOICE: "<Say>Hello</Say><Gather/>"}) as (call, line):
        heard = await call.start()
    assert heard[0] == Said("Hello")
    ((path, form, headers),) = line.requests
    assert path == VOICE
    assert len(form) == 25
    assert form["CallSid"] == call.sid
    assert len(call.sid) == 34
    assert (form["AccountSid"], form["CallStatus"], form["Direction"], form["ApiVersion"]) == (ACCOUNT, "ringing", "inbound", "2010-04-01")
    assert (form["From"], form["Caller"], form["To"], form["Called"]) == ("+12025550199", "+12025550199", "+15550100", "+15550100")
    assert form["FromCity"] == form["CallerCity"] != ""
    assert headers["Content-Type"] == "application/x-www-form-urlencoded; charset=UTF-8"
    assert headers["I-Twilio-Idempotency-Token"]


async def test_a_wrong_token_is_refused_and_the_status_says_so():
    async with calling({VOICE: "<Say>Hello</Say>"}, token="another") as (call, _line):
        (end,) = await call.start()
    assert (end.reason, end.status) == ("error", 403)
    assert end is call.ended


async def test_every_request_has_a_token_of_its_own():
    async with calling({VOICE: "<Gather/>"}) as (call, line):
        await call.start()
        await call.press("1")
        await call.hang_up()
    tokens = [headers["I-Twilio-Idempotency-Token"] for _, _, headers in line.requests]
    assert len(set(tokens)) == 3


# Gather


async def test_keys_go_to_the_action_which_is_relative_to_the_document_it_stands_in():
    documents = {VOICE: '<Gather action="turn/2?x=1" numDigits="1"><Say>Press</Say></Gather>', "/twilio/turn/2?x=1": '<Gather action="3"/>'}
    async with calling(documents) as (call, line):
        assert await call.start() == [Said("Press"), Asked(f"http://127.0.0.1:{line.port}/twilio/turn/2?x=1", num_digits=1)]
        assert await call.press("1") == [Asked(f"http://127.0.0.1:{line.port}/twilio/turn/3")]
    (form,) = line.forms("/twilio/turn/2?x=1")
    assert (form["Digits"], form["FinishedOnKey"], form["msg"], form["CallStatus"]) == ("1", "", "Gather End", "in-progress")


async def test_a_gather_without_an_action_asks_the_url_of_its_document_again():
    async with calling({VOICE: ["<Redirect>/here?a=b</Redirect>"], "/here?a=b": ["<Gather/>", "<Hangup/>"]}) as (call, line):
        await call.start()
        assert await call.press("1") == [HungUp("hangup")]
    assert len(line.forms("/here?a=b")) == 2


@pytest.mark.parametrize(
    ("attributes", "keys", "digits", "finished"),
    [
        ("", "12#", "12", "#"),
        ("", "12#34", "12", "#"),
        ("", "12", "12", ""),
        ("", "#1#", "1", "#"),
        ("", "*1", "*1", ""),
        ('finishOnKey="*"', "1#2*3", "1#2", "*"),
        ('finishOnKey=""', "1#*", "1#*", ""),
        ('numDigits="2"', "123", "12", ""),
        ('numDigits="3"', "12#", "12", "#"),
        ('numDigits="3"', "12", "12", ""),
        ('input="dtmf speech"', "1#", "1", "#"),
    ],
)
async def test_what_a_gather_takes_of_the_keys_pressed(attributes, keys, digits, finished):
    async with calling({VOICE: f'<Gather action="/next" {attributes}/>', "/next": "<Hangup/>"}) as (call, line):
        await call.start()
        assert await call.press(keys) == [HungUp("hangup")]
    (form,) = line.forms("/next")
    assert (form["Digits"], form["FinishedOnKey"]) == (digits, finished)
    assert "SpeechResult" not in form


async def test_speech_goes_to_the_action_of_a_gather_that_listens_for_it():
    async with calling({VOICE: '<Gather action="/next" input="dtmf speech"/>', "/next": "<Hangup/>"}) as (call, line):
        (asked,) = await call.start()
        assert (asked.keys, asked.speech) == (True, True)
        await call.say("To an elf, please: 🎅")
    (form,) = line.forms("/next")
    assert form["SpeechResult"] == "To an elf, please: 🎅"
    assert float(form["Confidence"]) > 0
    assert "Digits" not in form


@pytest.mark.parametrize(
    ("inputs", "step"),
    [("dtmf", Nothing()), ("dtmf", Words("hello")), ("speech", Keys("1")), ("dtmf", Keys("#")), ("speech", Words(""))],
)
async def test_without_input_that_it_listens_for_a_gather_falls_through(inputs, step):
    async with calling({VOICE: f'<Gather action="/next" input="{inputs}"/><Say>Nobody?</Say>'}) as (call, line):
        await call.start()
        assert [event async for event in call.follow(step)] == [Said("Nobody?"), HungUp("end")]
    assert not line.forms("/next")


@pytest.mark.parametrize(
    ("inputs", "sent"), [("dtmf", {"Digits": ""}), ("speech", {"SpeechResult": ""}), ("dtmf speech", {"Digits": "", "SpeechResult": ""})]
)
async def test_without_input_a_gather_calls_its_action_when_it_is_told_to(inputs, sent):
    gather = f'<Gather action="/next" input="{inputs}" actionOnEmptyResult="true"/><Say>never said</Say>'
    async with calling({VOICE: gather, "/next": "<Hangup/>"}) as (call, line):
        await call.start()
        assert await call.stay_silent() == [HungUp("hangup")]
    (form,) = line.forms("/next")
    assert {key: form[key] for key in ("Digits", "SpeechResult") if key in form} == sent


async def test_prompts_nested_in_a_gather_are_heard_before_it_waits():
    gather = (
        '<Gather timeout="7"><Say>One <break time="1s"/><emphasis>two</emphasis></Say><Pause length="2"/><Play>/bell.mp3</Play></Gather>'
    )
    async with calling({VOICE: gather}) as (call, line):
        heard = await call.start()
        assert heard[:-1] == [Said("One two"), Paused(2), Played(f"http://127.0.0.1:{line.port}/bell.mp3")]
        assert heard[-1].timeout == 7
        assert call.waiting is heard[-1]


async def test_a_get_carries_the_form_in_its_signed_url():
    async with calling({VOICE: '<Gather action="/next?a=1" method="GET"/>'}) as (call, line):
        await call.start()
        await call.press("1")
    path, form, _ = line.requests[1]
    assert path.startswith("/next?a=1&AccountSid=")
    assert "&Digits=1&" in path
    assert not form


# Redirect


async def test_a_redirect_goes_on_with_another_document_and_never_comes_back():
    documents = {VOICE: "<Say>One moment</Say><Pause/><Redirect>poll?turn=1&amp;offset=2</Redirect><Say>never said</Say>"}
    documents["/twilio/poll?turn=1&offset=2"] = "<Say>Done</Say>"
    async with calling(documents) as (call, line):
        assert await call.start() == [Said("One moment"), Paused(1), Said("Done"), HungUp("end")]
    (form,) = line.forms("/twilio/poll?turn=1&offset=2")
    assert form["CallStatus"] == "in-progress"


async def test_a_document_that_redirects_to_itself_for_ever_ends_the_call():
    async with calling({VOICE: "<Redirect/>"}) as (call, _line):
        (end,) = await call.start()
    assert end.reason == "error"
    assert "answer 1001 in a row that asked the caller nothing" in end.detail


# Record


RECORD = '<Record action="/done" recordingStatusCallback="/recorded" maxLength="30"/><Say>Nothing was recorded</Say>'


async def test_a_message_is_sent_to_the_action_and_then_to_the_recording_callback():
    async with calling({VOICE: RECORD, "/done": "<Say>Thank you</Say>", "/recorded": 204}) as (call, line):
        (recording,) = await call.start()
        assert isinstance(recording, Recording)
        assert recording.max_length == 30
        heard = await call.say("Dear Santa, " + "I was good, " * 10)
    assert isinstance(heard[0], Recorded)
    assert heard[0].seconds == 13
    assert heard[1:] == [Said("Thank you"), HungUp("end")]
    assert [path for path, _, _ in line.requests] == [VOICE, "/done", "/recorded", STATUS]
    (done,), (recorded,) = line.forms("/done"), line.forms("/recorded")
    assert done["RecordingUrl"] == recorded["RecordingUrl"] == heard[0].url
    assert (done["RecordingDuration"], done["Digits"]) == ("13", "")
    assert (recorded["RecordingStatus"], recorded["CallSid"], recorded["RecordingSource"]) == ("completed", call.sid, "RecordVerb")


@pytest.mark.parametrize(("finish", "keys", "digits"), [("", "5", "5"), ('finishOnKey="#"', "5#", "#"), ('finishOnKey="#"', "5", "")])
async def test_a_key_ends_a_recording_if_it_is_one_that_does(finish, keys, digits):
    async with calling({VOICE: f'<Record action="/done" {finish}/>', "/done": "<Hangup/>"}) as (call, line):
        await call.start()
        await call.press(keys)
    assert [form["Digits"] for form in line.forms("/done")] == [digits]


async def test_an_empty_recording_goes_on_to_the_next_verb():
    async with calling({VOICE: RECORD}) as (call, line):
        await call.start()
        assert await call.stay_silent() == [Said("Nothing was recorded"), HungUp("end")]
    assert [path for path, _, _ in line.requests] == [VOICE, STATUS]


async def test_hanging_up_ends_a_recording_and_what_is_answered_is_not_carried_out():
    async with calling({VOICE: RECORD, "/done": "<Say>never said</Say>", "/recorded": 204}) as (call, line):
        await call.start()
        recorded, end = await call.hang_up()
    assert isinstance(recorded, Recorded)
    assert end == HungUp("caller")
    assert [path for path, _, _ in line.requests] == [VOICE, "/done", "/recorded", STATUS]
    (done,) = line.forms("/done")
    assert (done["Digits"], done["CallStatus"]) == ("hangup", "completed")


async def test_a_message_is_cut_at_its_greatest_length():
    async with calling({VOICE: '<Record action="/done" maxLength="3"/>', "/done": "<Hangup/>"}) as (call, _line):
        await call.start()
        recorded, _ = await call.say("word " * 100)
    assert recorded.seconds == 3


# Dial


@pytest.mark.parametrize("status", ["completed", "busy", "no-answer", "failed", "canceled"])
async def test_how_a_transfer_ended_goes_to_its_action(status):
    documents = {VOICE: '<Dial action="/dialled" timeout="20">+15550111</Dial><Say>never said</Say>', "/dialled": "<Say>Back</Say>"}
    async with calling(documents, dials={"+15550111": status}) as (call, line):
        assert await call.start() == [Dialled("+15550111", status), Said("Back"), HungUp("end")]
    (form,) = line.forms("/dialled")
    assert form["DialCallStatus"] == status
    assert form["DialCallSid"] != call.sid
    assert ("DialCallDuration" in form) == (status == "completed")


async def test_a_transfer_is_completed_unless_told_otherwise_and_without_an_action_goes_on():
    async with calling({VOICE: "<Dial><Number>+15550111</Number></Dial><Say>Bye</Say>"}) as (call, _line):
        assert await call.start() == [Dialled("+15550111", "completed"), Said("Bye"), HungUp("end")]


# The end


@pytest.mark.parametrize(
    ("document", "end", "status"),
    [
        ("", HungUp("end"), "completed"),
        ("<Hangup/><Say>never said</Say>", HungUp("hangup"), "completed"),
        ("<Reject/><Say>never said</Say>", HungUp("rejected", "rejected"), "no-answer"),
        ('<Reject reason="busy"/>', HungUp("rejected", "busy"), "busy"),
    ],
)
async def test_however_a_call_ends_the_status_callback_tells(document, end, status):
    async with calling({VOICE: document}) as (call, line):
        assert await call.start() == [end]
        assert call.ended == end
    (form,) = line.forms(STATUS)
    assert (form["CallStatus"], form["CallSid"], form["SequenceNumber"]) == (status, call.sid, "0")
    assert form["CallbackSource"] == "call-progress-events"
    assert form["Timestamp"].endswith("+0000")


async def test_a_caller_who_hangs_up_at_a_question_sends_only_the_status_with_the_seconds_that_passed():
    async with calling({VOICE: '<Pause length="70"/><Gather action="/next" timeout="9"/><Gather action="/next"/>'}) as (call, line):
        await call.start()
        await call.stay_silent()
        assert await call.hang_up() == [HungUp("caller")]
        assert await call.hang_up() == []
    assert [path for path, _, _ in line.requests] == [VOICE, STATUS]
    (form,) = line.forms(STATUS)
    assert (form["CallStatus"], form["CallDuration"], form["Duration"]) == ("completed", "79", "2")


async def test_nobody_hears_a_caller_before_a_call_and_after_it():
    async with calling({VOICE: "<Hangup/>"}) as (call, _line):
        with pytest.raises(NobodyListensError, match="started once, and before anything else"):
            await call.press("1")
        assert await call.hang_up() == []
        await call.start()
        with pytest.raises(NobodyListensError, match=r"the call is over \(hangup\)"):
            await call.say("Hello?")
        with pytest.raises(NobodyListensError, match="the call is over"):
            await call.start()


async def test_a_call_is_started_once():
    async with calling({VOICE: "<Gather/>"}) as (call, _line):
        await call.start()
        with pytest.raises(NobodyListensError, match="started once"):
            await call.start()


def test_a_telephone_has_twelve_keys():
    for keys in ("", "a", "1 2", "\uff11"):
        with pytest.raises(ValueError, match="a telephone has no key for"):
            Keys(keys)


# What Twilio would drop the call for


def answered(text, content_type="text/xml", **options):
    return web.Response(text=text, content_type=content_type, **options)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (500, "answered 500 (Twilio error 11200)"),
        (302, "answered 302 (Twilio error 11200)"),
        (lambda: answered("<Response>"), "what is not XML: no element found"),
        (lambda: answered(""), "what is not XML: no element found"),
        (lambda: answered("<Response>\x07</Response>"), "what is not XML: not well-formed"),
        (lambda: answered("<html/>"), "answered <html>, not <Response>"),
        (lambda: answered("<!DOCTYPE Response><Response/>"), "answered with a document type"),
        (lambda: answered("<Response/>", "application/json"), "answered application/json, not XML"),
        (lambda: answered("<Response>" + "<Pause/>" * (LIMIT // 8) + "</Response>"), "more than 64 kB"),
        ("<Sing>la la</Sing>", "answered <Sing>, which this phone cannot carry out at that place"),
        ("<Gather><Hangup/></Gather>", "answered <Hangup>, which this phone cannot carry out at that place"),
        ('<Pause length="long"/>', '<Pause length="long"> wants a number'),
    ],
)
async def test_what_twilio_would_drop_the_call_for_ends_it_and_says_why(answer, detail):
    async with calling({VOICE: answer() if callable(answer) else answer}) as (call, line):
        heard = await call.start()
    assert heard == [call.ended]
    assert call.ended.reason == "error"
    assert detail in call.ended.detail
    assert [form["CallStatus"] for form in line.forms(STATUS)] == ["completed"]


async def test_a_status_callback_that_fails_is_no_normal_end():
    async with calling({VOICE: "<Gather/>", STATUS: 500}) as (call, _line):
        await call.start()
        (end,) = await call.hang_up()
    assert (end.reason, end.status) == ("error", 500)


# Servers that come and go


async def test_a_server_that_is_not_there_is_told_from_one_that_refuses():
    async with Phone("http://127.0.0.1:1", TOKEN, ACCOUNT, "+15550199", "+15550100", patience=1) as phone:
        with pytest.raises(UnreachableError, match=f"http://127.0.0.1:1{VOICE} did not answer in 1 tries"):
            await phone.call().start()


async def test_a_call_goes_on_when_its_server_was_away_for_a_moment():
    line = TwilioLine({VOICE: '<Gather action="/next"/>', "/next": "<Say>Welcome back</Say>"})
    async with line.serving() as url:
        phone = Phone(url, TOKEN, ACCOUNT, "+15550199", "+15550100", patience=100)
        await phone.__aenter__()
        call = phone.call()
        await call.start()
    pressed = asyncio.create_task(call.press("1"))
    await asyncio.sleep(0.05)
    async with line.serving():
        assert await pressed == [Said("Welcome back"), HungUp("end")]
    await phone.__aexit__(None, None, None)
    (form,) = line.forms("/next")
    assert (form["CallSid"], form["Digits"]) == (call.sid, "1")


async def test_a_step_that_met_no_server_can_be_taken_again():
    line = TwilioLine({VOICE: '<Gather action="/next"/><Redirect>/silent</Redirect>', "/silent": "<Say>Hello?</Say>"})
    async with line.serving() as url:
        phone = Phone(url, TOKEN, ACCOUNT, "+15550199", "+15550100", patience=1)
        await phone.__aenter__()
        call = phone.call()
        await call.start()
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await call.stay_silent()
        with pytest.raises(UnreachableError):
            await call.hang_up()
    async with line.serving():
        assert await call.stay_silent() == [Said("Hello?"), HungUp("end")]
    await phone.__aexit__(None, None, None)
    assert [path for path, _, _ in line.requests] == [VOICE, "/silent", STATUS]


async def test_a_server_that_is_busy_is_asked_again_with_the_very_same_request():
    async with calling({VOICE: [503, 503, "<Hangup/>"]}, patience=3) as (call, line):
        assert await call.start() == [HungUp("hangup")]
    first, second, third, _ = line.requests
    assert first == second == third


async def test_a_server_that_stays_busy_ends_the_call():
    async with calling({VOICE: 503}) as (call, line):
        (end,) = await call.start()
    assert (end.reason, end.status) == ("error", 503)
    assert len(line.forms(VOICE)) == 2


async def test_the_last_request_can_be_delivered_twice_without_the_call_noticing():
    async with calling({VOICE: '<Gather action="/next"/>', "/next": ['<Say>Yes</Say><Gather action="/end"/>', "<Say>Again</Say>"]}) as (
        call,
        line,
    ):
        await call.start()
        await call.press("1")
        waiting = call.waiting
        assert await call.repeat() == "<Response><Say>Again</Say></Response>"
        assert call.waiting is waiting
    first, second = line.requests[1:]
    assert first == second


# Whole conversations


async def test_a_conversation_asks_for_the_callers_part_and_gives_what_happens():
    documents = {VOICE: '<Gather action="/a"/>', "/a": '<Say>A</Say><Gather action="/b" input="speech"/>', "/b": "<Say>B</Say><Gather/>"}
    steps = [Keys("1"), Words("hello"), HangUp()]
    asked = []

    async def answer(waiting):
        asked.append(waiting.speech)
        return steps.pop(0)

    async with calling(documents) as (call, _line):
        heard = [event async for event in call.converse(answer)]
    assert [event for event in heard if not isinstance(event, Asked)] == [Said("A"), Said("B"), HungUp("caller")]
    assert asked == [False, True, False]
    assert heard == call.trace


async def test_what_is_heard_comes_before_the_next_request_is_answered():
    answered = asyncio.Event()
    line = TwilioLine({VOICE: "<Say>One moment</Say><Redirect>/slow</Redirect>", "/slow": "<Say>Done</Say>"})
    answer = line.answer

    async def slowly(request):
        if request.path == "/slow":
            await answered.wait()
        return await answer(request)

    line.answer = slowly
    async with line.serving() as url, Phone(url, TOKEN, ACCOUNT, "+15550199", "+15550100") as phone:
        call = phone.call()
        heard = []
        async for event in call.follow(None):
            heard.append(event)
            if event == Said("One moment"):
                answered.set()
    assert heard == [Said("One moment"), Said("Done"), HungUp("end")]


async def test_an_interrupted_step_leaves_a_call_that_can_still_be_hung_up():
    line = TwilioLine({VOICE: '<Gather action="/slow"/>'})
    answer = line.answer

    async def slowly(request):
        if request.path == "/slow":
            await asyncio.sleep(3600)
        return await answer(request)

    line.answer = slowly
    async with line.serving() as url, Phone(url, TOKEN, ACCOUNT, "+15550199", "+15550100") as phone:
        call = phone.call()
        await call.start()
        pressed = asyncio.create_task(call.press("1"))
        await asyncio.sleep(0.05)
        pressed.cancel()
        await asyncio.wait([pressed])
        with pytest.raises(NobodyListensError, match="interrupted"):
            await call.press("1")
        assert await call.hang_up() == [HungUp("caller")]
    assert [form["CallStatus"] for form in line.forms(STATUS)] == ["completed"]


@pytest.mark.parametrize("from_", ["anonymous", "client:alice", "+358401234567"])
async def test_a_caller_without_a_north_american_number_comes_from_nowhere(from_):
    line = TwilioLine({VOICE: "<Hangup/>"})
    async with line.serving() as url, Phone(url, TOKEN, ACCOUNT, from_, "+15550100") as phone:
        await phone.call().start()
    form = line.forms(VOICE)[0]
    assert (form["From"], form["FromCity"], form["FromCountry"]) == (from_, "", "")


async def test_pauses_pass_at_the_speed_of_the_phone():
    loop = asyncio.get_running_loop()
    async with calling({VOICE: '<Pause length="10"/>'}, speed=100) as (call, _line):
        before = loop.time()
        await call.start()
        assert loop.time() - before >= 0.1
