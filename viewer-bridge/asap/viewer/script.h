// Plays a user, for tests. In: a window, a slide and a folder. Out: pictures of the window at two zooms, the map's labels, and script.json with
// where each picture lies on the slide, the legend, messages seen and times. Throws std::runtime_error where something did not come.
#pragma once

#include <QString>

namespace histoloom {

class Window;

void play(Window &window, const QString &slide, const QString &folder);

}  // namespace histoloom
