// What the tests and the viewer's script share: claims that must hold, and waiting while the windows live.
#pragma once

#include <QApplication>
#include <QElapsedTimer>
#include <QThread>

#include <functional>
#include <stdexcept>
#include <string>

namespace histoloom {

inline void check(bool holds, const std::string &what) {
    if (!holds) throw std::runtime_error(what);
}

// Until it is there. `meanwhile` may throw where it sees that it never will be.
inline void wait(const char *what, const std::function<bool()> &there, const std::function<void()> &meanwhile = [] {}) {
    constexpr int PATIENCE_MS = 600'000;
    QElapsedTimer time;
    time.start();
    while (!there()) {
        check(!time.hasExpired(PATIENCE_MS), std::string("waited in vain for ") + what);
        QApplication::processEvents();
        QThread::msleep(5);
        meanwhile();
    }
}

}  // namespace histoloom
