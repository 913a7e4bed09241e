// A small viewer of slides with Histoloom in its Plugin menu.
//
//     histoloom-viewer [--library FILE] [--models DIR] [--device D] [--threads N] [--script DIR] [SLIDE]

#include "script.h"
#include "window.h"

#include <QApplication>
#include <QCommandLineParser>
#include <QTimer>

#include <cstdio>

int main(int argc, char **argv) {
    QApplication app(argc, argv);
    QApplication::setApplicationName("histoloom-viewer");
    QCommandLineParser line;
    line.addHelpOption();
    line.addOptions({{"library", "The shared library, where it is not found by itself.", "file"},
                     {"models", "Folder with the models, where they did not come with the library.", "dir", qEnvironmentVariable("HISTOLOOM_MODELS")},
                     {"device", "auto, cpu, gpu or gpu:N.", "device", "auto"},
                     {"threads", "Worker threads, 0 = one a core.", "n", "0"},
                     {"script", "Play a user, write pictures of the window into this folder, and end.", "dir"}});
    line.addPositionalArgument("slide", "The slide to open.", "[slide]");
    line.process(app);
    histoloom::Window window({line.value("library"), line.value("models"), line.value("device"), line.value("threads").toUInt()});
    window.show();
    const QString slide = line.positionalArguments().value(0);
    if (line.isSet("script")) {
        QTimer::singleShot(0, &window, [&] {
            try {
                histoloom::play(window, slide, line.value("script"));
                QApplication::exit(0);
            } catch (const std::exception &error) {
                std::fprintf(stderr, "%s\n", error.what());
                QApplication::exit(1);
            }
        });
    } else if (!slide.isEmpty()) {
        window.open_slide(slide);
    }
    return QApplication::exec();
}
