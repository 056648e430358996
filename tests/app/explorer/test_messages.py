"""Messages without a window."""

from app.explorer.messages import ERROR_TOAST_S, Messages


def test_an_error_that_goes_on_is_one_line_and_its_toast_stays() -> None:
    now = [0.0]
    messages = Messages(lambda: now[0])
    for _ in range(4):
        messages.repeated_error("it fails")
        messages.info("something else")
        now[0] += ERROR_TOAST_S * 0.9
        messages.tick()
    assert [line.text for line in messages.lines].count("it fails") == 1
    assert [toast.text for toast in messages.toasts] == ["it fails"]
    now[0] += ERROR_TOAST_S
    messages.tick()
    assert messages.toasts == ()
    messages.repeated_error("it fails")
    assert [line.text for line in messages.lines].count("it fails") == 2
